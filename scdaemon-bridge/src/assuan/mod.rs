//! The Assuan protocol: lines, percent coding, options.
