//! The layer for system calls: seccomp.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::{Calls, Rules};

/// What a call that was taken away fails with.
const DENIED: u32 = libc::EPERM as u32;

/// Why the rules can't be enforced. Retrying can't help.
#[derive(Debug, thiserror::Error)]
pub enum CallsError {
    /// The rules make no sense on this processor.
    #[error(transparent)]
    Rules(#[from] BackendError),
    /// The system refused them.
    #[error(transparent)]
    Refused(#[from] seccompiler::Error),
}

type Filter = BTreeMap<i64, Vec<SeccompRule>>;

/// Takes away what the rules do not allow.
pub(super) fn restrict(rules: &Rules) -> Result<(), CallsError> {
    // Its flags lie in memory, where a filter can't see them. Without it, the C library takes `clone`.
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    apply([(libc::SYS_clone3, vec![])].into(), SeccompAction::Allow, unknown)?;
    match rules.calls {
        Calls::Computing => apply(computing()?, SeccompAction::Errno(DENIED), SeccompAction::Allow),
        Calls::Usual => apply(denied(rules)?, SeccompAction::Allow, SeccompAction::Errno(DENIED)),
    }
}

fn apply(filter: Filter, others: SeccompAction, these: SeccompAction) -> Result<(), CallsError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let program: BpfProgram = SeccompFilter::new(filter, others, these, arch)?.try_into()?;
    Ok(apply_filter(&program)?)
}

/// What computing and answering need: the C library's allocator and threads, the cryptographic library, open sockets,
/// and the journal. No call among them names a file, makes a socket or reaches another process.
fn computing() -> Result<Filter, BackendError> {
    let plain = [
        // Open descriptors.
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_shutdown,
        libc::SYS_close,
        libc::SYS_fdatasync,
        libc::SYS_fsync,
        libc::SYS_ftruncate,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_ppoll,
        // Memory.
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_mlock,
        libc::SYS_mlock2,
        libc::SYS_munlock,
        // Threads.
        libc::SYS_clone3,
        libc::SYS_futex,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_membarrier,
        libc::SYS_exit,
        libc::SYS_exit_group,
        // Signals.
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        // Time and chance.
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_getrandom,
    ];
    let mut filter: Filter = plain.into_iter().map(|call| (call, vec![])).collect();
    #[cfg(target_arch = "x86_64")]
    filter.extend([(libc::SYS_poll, vec![])]);
    // Memory that holds no code.
    let no_code = || rule(&[bits(2, libc::PROT_EXEC as u64, 0)?]);
    filter.insert(libc::SYS_mmap, vec![no_code()?]);
    filter.insert(libc::SYS_mprotect, vec![no_code()?]);
    // Threads, no processes.
    let thread = libc::CLONE_THREAD as u64;
    filter.insert(libc::SYS_clone, vec![rule(&[bits(0, thread, thread)?])?]);
    filter.insert(libc::SYS_prctl, vec![rule(&[is(0, libc::PR_SET_NAME as u64)?])?]);
    // Ending itself, as abort(3) does.
    filter.insert(libc::SYS_tgkill, vec![rule(&[is(0, u64::from(std::process::id()))?])?]);
    let descriptor = [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_DUPFD_CLOEXEC];
    let descriptor = descriptor.into_iter().map(|command| rule(&[is(1, command as u64)?]));
    filter.insert(libc::SYS_fcntl, descriptor.collect::<Result<_, _>>()?);
    Ok(filter)
}

/// What no process of ours needs: starting programs, looking into other processes, and the kernel's own affairs.
fn denied(rules: &Rules) -> Result<Filter, BackendError> {
    let plain = [
        // Programs and processes.
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_open,
        libc::SYS_kcmp,
        libc::SYS_setns,
        libc::SYS_unshare,
        // Parts of the kernel with a large surface.
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_io_setup,
        libc::SYS_io_submit,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_personality,
        libc::SYS_lookup_dcookie,
        libc::SYS_fanotify_init,
        libc::SYS_open_by_handle_at,
        libc::SYS_name_to_handle_at,
        libc::SYS_vmsplice,
        // The machine.
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_syslog,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_vhangup,
        // The file system's shape.
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_mount_setattr,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_mknodat,
        // Signals with a payload, or by another handle.
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_pidfd_send_signal,
    ];
    let mut filter: Filter = plain.into_iter().map(|call| (call, vec![])).collect();
    #[cfg(target_arch = "x86_64")]
    filter.extend([
        (libc::SYS_fork, vec![]),
        (libc::SYS_vfork, vec![]),
        (libc::SYS_iopl, vec![]),
        (libc::SYS_ioperm, vec![]),
        (libc::SYS_modify_ldt, vec![]),
        (libc::SYS_mknod, vec![]),
        // Its own core images stay off.
        (libc::SYS_setrlimit, vec![]),
    ]);
    filter.insert(libc::SYS_clone, vec![rule(&[bits(0, libc::CLONE_THREAD as u64, 0)?])?]);
    let shield = [libc::PR_SET_DUMPABLE, libc::PR_SET_PTRACER, libc::PR_SET_PDEATHSIG];
    let shield = shield.into_iter().map(|option| rule(&[is(0, option as u64)?])).collect::<Result<_, _>>()?;
    filter.insert(libc::SYS_prctl, shield);
    // Signals to others, also where Landlock does not know of them.
    let others = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(std::process::id()))?;
    filter.insert(libc::SYS_kill, vec![rule(std::slice::from_ref(&others))?]);
    filter.insert(libc::SYS_tgkill, vec![rule(&[others])?]);
    // Reading a limit passes no new one.
    let new_limit = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
    filter.insert(libc::SYS_prlimit64, vec![rule(&[new_limit])?]);
    // Typing into a terminal.
    filter.insert(libc::SYS_ioctl, vec![rule(&[is(1, libc::TIOCSTI)?])?, rule(&[is(1, libc::TIOCLINUX)?])?]);
    filter.insert(libc::SYS_socket, vec![rule(&families(rules)?)?]);
    #[cfg(target_arch = "x86_64")]
    deny_x32(&mut filter);
    Ok(filter)
}

/// Every family of sockets but those that are declared. Netlink tells a resolver which addresses the machine has.
fn families(rules: &Rules) -> Result<Vec<SeccompCondition>, BackendError> {
    let network = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let unix = [libc::AF_UNIX];
    let allowed =
        network.iter().filter(|_| rules.has_network()).chain(unix.iter().filter(|_| rules.has_unix_sockets()));
    // AF_UNSPEC is no family, so that without any other the list is not empty.
    let allowed = allowed.copied().chain([libc::AF_UNSPEC]);
    allowed.map(|family| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family as u64)).collect()
}

/// The same calls once more under the numbers of the x32 ABI, which a kernel may still answer.
#[cfg(target_arch = "x86_64")]
fn deny_x32(filter: &mut Filter) {
    const X32: i64 = 0x4000_0000;
    // Those whose arguments are of another width have numbers of their own, execve and ptrace among them.
    const OWN: std::ops::RangeInclusive<i64> = 512..=547;
    let again: Vec<i64> = filter.keys().copied().chain(OWN).chain([libc::SYS_clone3]).collect();
    filter.extend(again.into_iter().map(|call| (call | X32, vec![])));
}

fn rule(conditions: &[SeccompCondition]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.to_vec())
}

/// Argument `index` is `value`; its upper half does not count.
fn is(index: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value & u64::from(u32::MAX))
}

/// Of argument `index`, the bits of `mask` are `value`.
fn bits(index: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)
}
