//! Values of any column.

use aws_lc_rs::digest::Context;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::{StorageError, sql::Row};

/// A column, whose type PostgreSQL knows.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Bool,
    Text,
    Bytes,
    Uuid,
}

/// What a column has in one row.
#[derive(Debug)]
pub(super) enum Value {
    Int(Option<i64>),
    Bool(Option<bool>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Uuid(Option<Uuid>),
}

impl Column {
    /// A column of this type, as `information_schema` names it.
    pub(super) fn new(name: String, data_type: &str) -> Result<Self, StorageError> {
        let kind = match data_type {
            "bigint" => Kind::Int,
            "boolean" => Kind::Bool,
            "text" => Kind::Text,
            "bytea" => Kind::Bytes,
            "uuid" => Kind::Uuid,
            other => return Err(StorageError::Damaged(format!("the column {name} is of the type {other}"))),
        };
        Ok(Self { name, kind })
    }

    pub(super) fn is_text(&self) -> bool {
        self.kind == Kind::Text
    }

    pub(super) const fn sql_type(&self) -> Type {
        match self.kind {
            Kind::Int => Type::INT8,
            Kind::Bool => Type::BOOL,
            Kind::Text => Type::TEXT,
            Kind::Bytes => Type::BYTEA,
            Kind::Uuid => Type::UUID,
        }
    }

    /// Reads it out of a row of either database.
    pub(super) fn read(&self, row: &Row<'_>, index: usize) -> Result<Value, StorageError> {
        Ok(match self.kind {
            Kind::Int => Value::Int(row.get(index)?),
            Kind::Bool => Value::Bool(row.get(index)?),
            Kind::Text => Value::Text(row.get(index)?),
            Kind::Bytes => Value::Bytes(row.get(index)?),
            Kind::Uuid => Value::Uuid(row.get(index)?),
        })
    }
}

impl Value {
    pub(super) fn as_sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Int(value) => value,
            Self::Bool(value) => value,
            Self::Text(value) => value,
            Self::Bytes(value) => value,
            Self::Uuid(value) => value,
        }
    }

    /// Adds it to a digest, with its length before it, so that no two rows have the same bytes.
    pub(super) fn digest(&self, context: &mut Context) {
        let number;
        let bytes: Option<&[u8]> = match self {
            Self::Int(value) => {
                number = value.unwrap_or_default().to_be_bytes();
                value.map(|_| number.as_slice())
            }
            Self::Bool(value) => value.map(|value| if value { &[1][..] } else { &[0] }),
            Self::Text(value) => value.as_deref().map(str::as_bytes),
            Self::Bytes(value) => value.as_deref(),
            Self::Uuid(value) => value.as_ref().map(|id| id.as_bytes().as_slice()),
        };
        match bytes {
            None => context.update(&[0]),
            Some(bytes) => {
                context.update(&[1]);
                context.update(&(bytes.len() as u64).to_be_bytes());
                context.update(bytes);
            }
        }
    }
}
