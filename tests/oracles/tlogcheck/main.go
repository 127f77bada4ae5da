// tlogcheck verifies a C2SP tlog-tiles directory with the code that guards Go's checksum database
// (golang.org/x/mod/sumdb/{note,tlog}): the checkpoint's signature, every entry, every tile, the root, and an
// inclusion proof for every hundredth entry. It knows nothing of what an entry says.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// memory keeps the tree's hashes at their storage indexes.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(m)) {
			return nil, fmt.Errorf("hash %d is not there yet", index)
		}
		hashes[i] = m[index]
	}
	return hashes, nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: tlogcheck DIR")
		os.Exit(2)
	}
	size, err := check(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "tlogcheck:", err)
		os.Exit(1)
	}
	fmt.Printf("checkpoint, %d entries, every tile and the root\n", size)
}

func check(dir string) (int64, error) {
	tree, err := checkpoint(dir)
	if err != nil {
		return 0, err
	}
	var stored memory
	for first := int64(0); first < tree.N; first += 1 << height {
		width := min(tree.N-first, 1<<height)
		data, err := os.ReadFile(filepath.Join(dir, path(tlog.Tile{H: height, L: -1, N: first >> height, W: int(width)})))
		if err != nil {
			return 0, err
		}
		for n := int64(0); n < width; n++ {
			if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
				return 0, fmt.Errorf("entry %d is cut", first+n)
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			hashes, err := tlog.StoredHashes(first+n, data[2:end], stored)
			if err != nil {
				return 0, err
			}
			stored, data = append(stored, hashes...), data[end:]
		}
		if len(data) != 0 {
			return 0, fmt.Errorf("%d bytes after entry %d", len(data), first+width-1)
		}
	}
	root, err := tlog.TreeHash(tree.N, stored)
	if err != nil || root != tree.Hash {
		return 0, fmt.Errorf("the root of the entries is %v, the checkpoint says %v (%v)", root, tree.Hash, err)
	}
	for _, tile := range tlog.NewTiles(height, 0, tree.N) {
		own, err := tlog.ReadTileData(tile, stored)
		if err != nil {
			return 0, err
		}
		published, err := os.ReadFile(filepath.Join(dir, path(tile)))
		if err != nil || !bytes.Equal(own, published) {
			return 0, fmt.Errorf("%s is not the tile of these entries (%v)", path(tile), err)
		}
	}
	return tree.N, prove(tree, stored)
}

func prove(tree tlog.Tree, stored memory) error {
	for n := int64(0); n < tree.N; n += 100 {
		proof, err := tlog.ProveRecord(tree.N, n, stored)
		if err != nil {
			return err
		}
		leaf := stored[tlog.StoredHashIndex(0, n)]
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, n, leaf); err != nil {
			return err
		}
	}
	return nil
}

// checkpoint opens the signed note; its text is a C2SP checkpoint: origin, size, root.
func checkpoint(dir string) (tlog.Tree, error) {
	var tree tlog.Tree
	vkey, err := os.ReadFile(filepath.Join(dir, "log.vkey"))
	if err != nil {
		return tree, err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		return tree, err
	}
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tree, fmt.Errorf("the checkpoint is not one of %s", verifier.Name())
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || copy(tree.Hash[:], root) != tlog.HashSize || len(root) != tlog.HashSize {
		return tree, fmt.Errorf("the checkpoint's root is malformed (%v)", err)
	}
	return tree, nil
}

// path is the tile's path in a C2SP directory, which has no height and calls data tiles entries.
func path(tile tlog.Tile) string {
	path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
	return strings.Replace(path, "tile/data/", "tile/entries/", 1)
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}
