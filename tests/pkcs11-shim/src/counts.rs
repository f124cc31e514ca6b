//! The file that counts calls: a record of 64 bytes for each function, its name (56 bytes, padded with zeros) and a
//! number of 8 bytes in the machine's order.
//!
//! It is mapped and counted in atomically, so that many processes can share it, a killed one loses nothing, and
//! counting costs next to nothing under load. One more record, `overlapping`, counts the calls that began in a process
//! while another one was under way there.

use std::{
    env,
    fs::File,
    os::fd::AsRawFd,
    process, ptr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::functions::NAMES;

const NAME: usize = 56;

#[repr(C)]
struct Record {
    name: [u8; NAME],
    count: AtomicU64,
}

/// The records: one for each function, in the order of [`NAMES`], then `overlapping`.
const RECORDS: usize = NAMES.len() + 1;

static UNDER_WAY: AtomicU64 = AtomicU64::new(0);

/// A call that is under way.
pub(crate) struct Call {
    /// Which call of its function it is, over all processes, from 1 on.
    pub(crate) number: u64,
}

impl Call {
    /// Counts the call of the function with this place in [`NAMES`].
    pub(crate) fn begin(function: usize) -> Self {
        let records = records();
        if UNDER_WAY.fetch_add(1, Ordering::SeqCst) > 0 {
            add(records.last());
        }
        Self { number: add(records.get(function)) }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
    }
}

fn add(record: Option<&Record>) -> u64 {
    record.map_or_else(|| process::abort(), |record| record.count.fetch_add(1, Ordering::SeqCst) + 1)
}

/// Without counts no test of this module tells anything: then the process ends.
fn records() -> &'static [Record] {
    static MAPPED: OnceLock<&'static [Record]> = OnceLock::new();
    MAPPED.get_or_init(|| map().unwrap_or_else(|| process::abort()))
}

fn map() -> Option<&'static [Record]> {
    let file = File::options().read(true).write(true).open(env::var_os("SEALCARD_SHIM_COUNTS")?).ok()?;
    let bytes = RECORDS * size_of::<Record>();
    file.set_len(u64::try_from(bytes).ok()?).ok()?;
    // SAFETY: a new mapping of a file that is as long as the mapping and is never shortened.
    let address = unsafe {
        libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if address == libc::MAP_FAILED {
        return None;
    }
    let first = address.cast::<Record>();
    for (index, name) in NAMES.iter().chain(&["overlapping"]).enumerate() {
        // SAFETY: within the mapping. Every process writes the same bytes, and nobody here reads them.
        unsafe { ptr::copy_nonoverlapping(name.as_ptr(), (*first.add(index)).name.as_mut_ptr(), name.len().min(NAME)) };
    }
    // SAFETY: the mapping is page-aligned, has room for RECORDS records, any bytes are one, and it is never removed.
    Some(unsafe { std::slice::from_raw_parts(first, RECORDS) })
}
