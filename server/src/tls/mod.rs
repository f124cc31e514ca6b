//! The server's certificate and its TLS configuration.
