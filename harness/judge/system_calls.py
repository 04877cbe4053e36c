"""Which system calls a worker is refused, by name and number: the table that the filter is made from.

Numbers are given for (x86_64, aarch64); None is a call that a machine does not have. From 424 on all machines agree.
"""

from typing import NamedTuple


class Machine(NamedTuple):
    """A kind of processor: its column in the tables, its name in the kernel, its number of the call seccomp."""

    column: int
    audit_arch: int
    seccomp: int


MACHINES = {"x86_64": Machine(0, 0xC000003E, 317), "aarch64": Machine(1, 0xC00000B7, 277)}

Numbers = tuple[int | None, int | None]
DENIED: dict[str, Numbers] = {
    # name: (x86_64, aarch64). A worker is one process, and runs one program.
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    # Other processes: their memory, descriptors and signals.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    # Servers that listen on this machine; the worker's own socket is connected already.
    "connect": (42, 203),
    # Large parts of the kernel that no decoder needs.
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "modify_ldt": (154, None),
    # Namespaces, mounts, and files by handle, which pass by the folders that are in view.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # Cores, priority and memory nodes: what the profile fixes stays fixed.
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "setrlimit": (160, 164),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # Memory outside the address space, and what outlives a process.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # The machine itself.
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "personality": (135, 92),
    "iopl": (172, None),
    "ioperm": (173, None),
}

NOT_THERE: dict[str, Numbers] = {"clone3": (435, 435)}
"""Its flags lie in memory, where a filter cannot look; told that it does not exist, libraries fall back on clone."""

FIRST_UNKNOWN = 467
"""System calls from this number on are newer than the tables, and answered as by an older kernel."""

OWN_PROCESS = -1
"""Stands in a condition for the worker's own number."""
ALL_BITS = 0xFFFFFFFF
CLONE_THREAD = 0x00010000
CLONE_NEW_NAMESPACES = 0x7E020080
AF_UNIX = 1


class Condition(NamedTuple):
    """Half an argument, masked, has this value."""

    argument: int
    value: int
    mask: int = ALL_BITS
    upper_half: bool = False


ALLOWED_IF: dict[str, tuple[Numbers, tuple[Condition, ...]]] = {
    # All conditions must hold.
    "clone": ((56, 220), (Condition(0, CLONE_THREAD, CLONE_THREAD | CLONE_NEW_NAMESPACES),)),
    "socket": ((41, 198), (Condition(0, AF_UNIX),)),
    "socketpair": ((53, 199), (Condition(0, AF_UNIX),)),
    # Signals to itself only: abort() and Python's signal module send those.
    "kill": ((62, 129), (Condition(0, OWN_PROCESS),)),
    "tgkill": ((234, 131), (Condition(0, OWN_PROCESS),)),
    # Its own limits may be read, not set: root could raise them again.
    "prlimit64": ((302, 261), (Condition(0, 0), Condition(2, 0), Condition(2, 0, upper_half=True))),
}

DENIED_IF: dict[str, tuple[Numbers, tuple[Condition, ...]]] = {
    # One condition is enough. PR_SET_PDEATHSIG: a worker ends with its judge.
    "prctl": ((157, 167), (Condition(0, 1),)),
    # F_SETOWN, F_SETSIG, F_SETOWN_EX, FIOSETOWN, SIOCSPGRP: the kernel would send another process a signal.
    "fcntl": ((72, 25), (Condition(1, 8), Condition(1, 10), Condition(1, 15))),
    # TIOCSTI and TIOCLINUX besides: typing into a terminal.
    "ioctl": ((16, 29), tuple(Condition(1, request) for request in (0x8901, 0x8902, 0x5412, 0x541C))),
}
