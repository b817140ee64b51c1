//! The config file of vibectl-server, and the mount contract between the operator and the server.
//!
//! One schema for a person's own file and for the one that the operator renders. Nothing here opens a file, reads
//! the environment or knows a clock: text, maps of variables and bytes are passed in.
//!
//! - [`Config::parse`]: text to [`Config`]; every mistake at once, each with its place.
//! - [`mount`]: which files a pod of the operator finds where.

#[macro_use]
mod differences;
mod check;
mod decode;
mod document;
mod mistake;
pub mod mount;
mod parse;
mod render;
mod schema;
mod secret;

pub use self::{
    mistake::{Mistake, Mistakes, Notice},
    parse::Parsed,
    render::{RenderError, render, show},
    schema::{
        Access, Acme, Admin, Challenge, ChallengeType, Config, EMBEDDED_ECHO, Echo, EchoError, EchoUsage,
        Fleet, Hsts, Jwt, JwtAlgorithm, Limits, LogLevel, MinVersion, Model, OpenAi, Provider, ProviderKind,
        Route, Server, ServerLimits, Tls,
    },
    secret::{HIDDEN, Secret},
};
