//! Somebody between a client and the gate, with a certificate that the client trusts as well. Knows no promise.

use countersign_sim::house::House;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::client_of;
use crate::shared::raw::SSL_REQUEST;

/// What it does to what the gate offers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Middle {
    /// Passes everything on.
    Reads,
    /// Takes the offer of channel binding away.
    Strips,
}

/// Listens, and hands everything on to the gate over TLS of its own.
pub async fn in_between(house: &House, middle: Middle) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let chain = vec![CertificateDer::from_pem_file(house.folder().join("middle.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(house.folder().join("middle.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (connector, gate) = (tokio_rustls::TlsConnector::from(client_of(house)), house.ports.gate);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move {
                client.read_exact(&mut [0; 8]).await.unwrap();
                client.write_all(b"S").await.unwrap();
                let mut client = acceptor.accept(client).await.unwrap();
                let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, gate)).await.unwrap();
                server.write_all(&SSL_REQUEST).await.unwrap();
                assert_eq!(server.read_u8().await.unwrap(), b'S');
                let name = ServerName::try_from("localhost").unwrap();
                let mut server = connector.connect(name, server).await.unwrap();
                if middle == Middle::Strips {
                    strip(&mut client, &mut server).await;
                }
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

async fn strip(
    client: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    server: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
) {
    let length = client.read_u32().await.unwrap();
    let mut startup = vec![0; length as usize - 4];
    client.read_exact(&mut startup).await.unwrap();
    server.write_all(&[&length.to_be_bytes()[..], &startup].concat()).await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'R');
    let mut offer = vec![0; server.read_u32().await.unwrap() as usize - 4];
    server.read_exact(&mut offer).await.unwrap();
    assert_eq!(offer, b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
    client.write_all(b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0").await.unwrap();
    client.flush().await.unwrap();
}
