//! How the rows of one query are masked: decided by the analysis, built from the server's own description of the
//! result, applied to every row. Knows labels by relation and attribute number.

use super::codec::HEADER_BYTES;
use super::codec::backend::{Field, RowDescription};
use super::mask::{
    CopyMasker, CopyOptions, DocumentPart, MaskError, PartialStyle, RowMasker, TokenKey, WireMask,
};
use super::reply::ReplyError;
use crate::sql::CopyColumn;
use crate::sql::facts::RelationKind;
use crate::sql::known::Known;
use bytes::BytesMut;
use countersign_core::action::Obligations;
use countersign_core::key_path::KeyPath;
use countersign_core::label::Label;
use countersign_core::mask::{Mask as MaskWord, Part};
use countersign_core::token::Mask;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Whole frames of rows (`D`) or of a COPY (`d`).
pub struct Chunk {
    /// The tag of all of them.
    pub tag: u8,
    /// The frames.
    pub frames: BytesMut,
}

/// What is known about labels when a query is asked.
#[derive(Clone)]
pub struct Labels {
    /// The catalogue joined with the server's facts.
    pub known: Arc<Known>,
    /// The masks that the grant names.
    pub obligations: Arc<Obligations>,
    /// The key of tokens.
    pub token_key: TokenKey,
    /// Whoever reads cannot write what they read without people: tokens of values of their own choice would tell them
    /// which others are the same. Otherwise tokens become NULL.
    pub tokens_stand: bool,
}

/// How rows are masked.
pub enum MaskPlan {
    /// The analysis found nothing labelled: rows pass, and a labelled column in the description is an error.
    Unlabelled(Arc<Known>),
    /// Plain projections: masked by relation and attribute number once the result is described.
    Projection {
        /// The labels.
        labels: Labels,
        /// The masker, once described.
        masker: Option<RowMasker>,
        /// People approved it, or policy allowed it, although nobody knows all that it touches: what is labelled is
        /// masked, what is unknown is shown.
        unknown_approved: bool,
    },
    /// A COPY of these columns.
    Copy {
        /// The masker.
        masker: Box<CopyMasker>,
        /// Rows are read only once the server has said that the COPY begins.
        begun: bool,
    },
    /// Approved to be seen in clear (`reveal`), or not understood and approved as such.
    Clear,
}

impl MaskPlan {
    /// A plan for a COPY of these columns.
    ///
    /// # Errors
    /// A column must be masked and the options do not allow it.
    pub fn copy(columns: &[CopyColumn], options: CopyOptions, labels: &Labels) -> Result<Self, MaskError> {
        let mask = |column: &CopyColumn| {
            let mask = labels.wire_mask(&column.labels, (column.table_oid, column.attnum));
            (mask, column.type_oid)
        };
        let masks = columns.iter().map(mask).collect();
        Ok(Self::Copy { masker: Box::new(CopyMasker::new(masks, options)?), begun: false })
    }

    /// Takes the server's description of the result.
    ///
    /// # Errors
    /// It names a labelled or unknown column where the analysis found none.
    pub fn describe(&mut self, columns: &RowDescription<'_>) -> Result<(), ReplyError> {
        match self {
            Self::Unlabelled(known) => columns.fields.iter().try_for_each(|field| unlabelled(known, field)),
            Self::Projection { labels, masker, unknown_approved } => {
                let mask = |field: &Field<'_>| {
                    let mask = match known_labels(&labels.known, field) {
                        Ok(set) => labels.wire_mask(&set, (field.table_oid, field.attnum)),
                        // Of a view that is known nobody can say what its whole row holds.
                        Err(_) if *unknown_approved && (field.attnum != 0 || !is_known(labels, field)) => {
                            WireMask::Clear
                        }
                        // A whole row, or a column that appeared since: nothing of it may be seen.
                        Err(_) => WireMask::Null,
                    };
                    (mask, field.type_oid, field.format)
                };
                *masker = Some(RowMasker::new(columns.fields.iter().map(mask).collect()));
                Ok(())
            }
            Self::Copy { .. } | Self::Clear => Ok(()),
        }
    }

    pub(super) fn begin_copy(&mut self) -> Result<(), ReplyError> {
        match self {
            Self::Copy { begun, .. } => {
                *begun = true;
                Ok(())
            }
            Self::Clear | Self::Unlabelled(_) => Ok(()),
            Self::Projection { .. } => Err(ReplyError::Unasked('H')),
        }
    }

    pub(super) fn end_copy(&mut self) -> Result<(), ReplyError> {
        match self {
            Self::Copy { masker, begun: true } if !masker.is_clear() => Ok(masker.finish()?),
            Self::Copy { begun: true, .. } | Self::Clear | Self::Unlabelled(_) => Ok(()),
            Self::Copy { begun: false, .. } | Self::Projection { .. } => Err(ReplyError::Unasked('c')),
        }
    }
}

impl Mask<Chunk> for MaskPlan {
    type Error = ReplyError;

    fn mask(&mut self, chunk: Chunk) -> Result<Chunk, ReplyError> {
        match (self, chunk.tag) {
            (Self::Unlabelled(_) | Self::Clear, _) => Ok(chunk),
            (Self::Projection { masker: Some(masker), .. }, b'D') if masker.is_clear() => Ok(chunk),
            (Self::Projection { masker: Some(masker), .. }, b'D') => {
                each_frame(chunk, |frame, out| Ok(masker.mask_into(frame, out)?))
            }
            (Self::Copy { masker, begun: true }, b'd') => each_frame(chunk, |frame, out| {
                masker.push(frame.get(HEADER_BYTES..).unwrap_or_default(), out)?;
                Ok(())
            }),
            (Self::Projection { .. } | Self::Copy { .. }, tag) => Err(ReplyError::Unasked(tag.into())),
        }
    }
}

impl Labels {
    /// The mask on the wire for a column (table and number) with these labels.
    fn wire_mask(&self, labels: &BTreeSet<Label>, column: (u32, i16)) -> WireMask {
        let Some(parts) = self.known.parts_of(column.0, column.1) else {
            return self.one_mask(labels, column, None);
        };
        let part = |(path, labels): (&KeyPath, &BTreeSet<Label>)| DocumentPart {
            path: path.clone(),
            mask: self.one_mask(labels, column, Some(path)),
        };
        // What has no label has no say over what lies beneath it.
        let parts: Arc<[_]> = parts.iter().map(part).filter(|part| !part.mask.is_clear()).collect();
        if parts.is_empty() { WireMask::Clear } else { WireMask::Parts(parts) }
    }

    fn one_mask(&self, labels: &BTreeSet<Label>, column: (u32, i16), part: Option<&KeyPath>) -> WireMask {
        let Some(mask) = self.obligations.mask_of(labels) else { return WireMask::Clear };
        match mask {
            MaskWord::Null => WireMask::Null,
            MaskWord::Fixed => WireMask::Fixed,
            MaskWord::Token => self.token(labels, column, part).unwrap_or(WireMask::Null),
            MaskWord::Bucket(bucket) => WireMask::Bucket(bucket),
            MaskWord::Partial(part) => WireMask::Partial { style: style(part, labels) },
        }
    }

    fn token(
        &self,
        labels: &BTreeSet<Label>,
        (table_oid, attnum): (u32, i16),
        part: Option<&KeyPath>,
    ) -> Option<WireMask> {
        if !self.tokens_stand {
            return None;
        }
        let (table, column) = self.known.home_of(table_oid, attnum)?;
        // No name and no path holds a zero byte: two columns never have one domain, nor do two parts.
        let database = &self.known.facts().database;
        let part = part.map(KeyPath::to_string);
        let names = [database, table.schema.as_str(), table.name.as_str(), column];
        let domain = names.into_iter().chain(part.as_deref()).collect::<Vec<_>>().join("\0").into();
        let class = labels.iter().next()?.as_str().into();
        Some(WireMask::Token { class, domain, key: self.token_key.clone() })
    }
}

fn style(part: Part, labels: &BTreeSet<Label>) -> PartialStyle {
    let email = |label: &Label| label.as_str().split('.').any(|word| word == "email");
    match part {
        Part::Auto if labels.iter().any(email) => PartialStyle::Email,
        Part::Auto => PartialStyle::Last(4),
        Part::Email => PartialStyle::Email,
        Part::First(chars) => PartialStyle::First(chars),
        Part::Last(chars) => PartialStyle::Last(chars),
    }
}

fn known_labels(known: &Known, field: &Field<'_>) -> Result<BTreeSet<Label>, ReplyError> {
    match (field.table_oid, field.attnum) {
        (0, _) => Ok(BTreeSet::new()),
        // A whole row of a table in which nothing is labelled. Of a view nobody can say by its own id.
        (oid, 0) if is_table(known, oid) && !known.is_labelled(oid) => Ok(BTreeSet::new()),
        // System columns such as ctid and xmin.
        (_, attnum) if attnum < 0 => Ok(BTreeSet::new()),
        (oid, attnum) => {
            let relation = known.facts().relations.get(&oid);
            let exists = relation.is_some_and(|r| r.columns.iter().any(|c| c.attnum == attnum));
            if exists {
                Ok(known.labels_of(oid, attnum).clone())
            } else {
                Err(ReplyError::UnexpectedLabel { table_oid: oid, column: attnum })
            }
        }
    }
}

fn is_known(labels: &Labels, field: &Field<'_>) -> bool {
    labels.known.facts().relations.contains_key(&field.table_oid)
}

fn is_table(known: &Known, oid: u32) -> bool {
    let kind = known.facts().relations.get(&oid).map(|relation| relation.kind);
    matches!(kind, Some(RelationKind::Table | RelationKind::Partitioned))
}

fn unlabelled(known: &Known, field: &Field<'_>) -> Result<(), ReplyError> {
    if known_labels(known, field)?.is_empty() {
        Ok(())
    } else {
        Err(ReplyError::UnexpectedLabel { table_oid: field.table_oid, column: field.attnum })
    }
}

fn each_frame(
    chunk: Chunk,
    mut mask: impl FnMut(&[u8], &mut BytesMut) -> Result<(), ReplyError>,
) -> Result<Chunk, ReplyError> {
    use super::codec::backend::TAGS;
    use super::codec::{Limits, frame_length};
    let mut out = BytesMut::with_capacity(chunk.frames.len());
    let mut rest: &[u8] = &chunk.frames;
    while let Some((_, length)) = frame_length(rest, TAGS, Limits::BACKEND)? {
        let Some((frame, after)) = rest.split_at_checked(length) else { break };
        mask(frame, &mut out)?;
        rest = after;
    }
    Ok(Chunk { tag: chunk.tag, frames: out })
}
