/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel's headers of the oldest system that this builds on know less of Landlock than the
 * kernels it runs on, so what is needed is spelled out here (include/uapi/linux/landlock.h). */
#include "exec/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct landlock_rules {
    uint64_t files;
    uint64_t network;
    uint64_t scoped;
};
struct landlock_beneath {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

#define LANDLOCK_VERSION      1u
#define LANDLOCK_PATH_BENEATH 1
/* execute, write_file, read_file, read_dir: what versions know is below. */
#define FILE_EXECUTE  (UINT64_C(1) << 0)
#define FILE_WRITE    (UINT64_C(1) << 1)
#define FILE_READ     (UINT64_C(1) << 2)
#define FILE_READ_DIR (UINT64_C(1) << 3)
#define FILE_TRUNCATE (UINT64_C(1) << 14) /* since 3 */
#define FILE_IOCTL    (UINT64_C(1) << 15) /* since 5 */
#define READING       (FILE_EXECUTE | FILE_READ | FILE_READ_DIR)
#define OF_FILES      (FILE_EXECUTE | FILE_WRITE | FILE_READ | FILE_TRUNCATE | FILE_IOCTL)
#define SCOPED_ALL    UINT64_C(3) /* abstract sockets, signals: since 6 */

#if defined __x86_64__
#    define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#    define THIS_ARCH AUDIT_ARCH_AARCH64
#else
#    define THIS_ARCH 0u
#endif

static uint64_t files_of(int version)
{
    /* 13 rights in version 1, "refer" in 2, truncate in 3, ioctl of devices in 5 */
    uint64_t bits = (UINT64_C(1) << 13) - 1;
    bits |= version >= 2 ? UINT64_C(1) << 13 : 0;
    bits |= version >= 3 ? FILE_TRUNCATE : 0;
    bits |= version >= 5 ? FILE_IOCTL : 0;
    return bits;
}

int exec_confine_landlock(void)
{
    const long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
    return version > 0 ? (int)version : 0;
}

bool exec_confine_filters(void)
{
    const uint32_t action = SECCOMP_RET_ERRNO;
    return THIS_ARCH != 0 && syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static enum sh_err allow(int rules, const char *path, uint64_t rights)
{
    struct stat about;
    struct landlock_beneath rule = {.allowed = rights};
    rule.fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.fd < 0) {
        return SH_OK; /* what does not exist, or cannot be reached, needs no right */
    }
    if (fstat(rule.fd, &about) == 0 && !S_ISDIR(about.st_mode)) {
        rule.allowed &= OF_FILES;
    }
    const long rc = syscall(SYS_landlock_add_rule, rules, LANDLOCK_PATH_BENEATH, &rule, 0);
    const int kept = errno;
    (void)close(rule.fd);
    errno = kept;
    return rc == 0 ? SH_OK : SH_ERR_IO;
}

static enum sh_err allow_all(int rules, const struct exec_order *order, uint64_t every)
{
    enum sh_err err = SH_OK;
    for (size_t i = 0; err == SH_OK && order->readable[i] != NULL; i++) {
        err = allow(rules, order->readable[i], every & READING);
    }
    for (size_t i = 0; err == SH_OK && order->writable[i] != NULL; i++) {
        err = allow(rules, order->writable[i], every);
    }
    return err;
}

static enum sh_err close_files(const struct exec_order *order)
{
    const int version = exec_confine_landlock();
    if (version == 0) {
        return SH_ERR_UNSUPPORTED;
    }
    const struct landlock_rules wanted = {.files = files_of(version),
                                          .scoped = version >= 6 ? SCOPED_ALL : 0};
    /* An older kernel takes a larger structure as long as what it does not know is zero. */
    const int rules = (int)syscall(SYS_landlock_create_ruleset, &wanted, sizeof wanted, 0);
    if (rules < 0) {
        return SH_ERR_IO;
    }
    enum sh_err err = allow_all(rules, order, wanted.files);
    if (err == SH_OK && syscall(SYS_landlock_restrict_self, rules, 0) != 0) {
        err = SH_ERR_IO;
    }
    (void)close(rules);
    return err;
}

/* Sockets of the Unix domain only. io_uring makes sockets without the system call, so it goes too;
 * system calls of another ABI of the processor would not be seen, so they end the process. */
static enum sh_err close_network(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 5, 0), /* x32: refused */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
    };
    const struct sock_fprog program = {.len = SH_COUNT(filter), .filter = filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 ? SH_OK : SH_ERR_IO;
}

enum sh_err exec_confine(const struct exec_order *order)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return SH_ERR_IO;
    }
    enum sh_err err = close_files(order);
    if (err == SH_OK && !order->network && exec_confine_filters()) {
        err = close_network();
    }
    return err;
}
