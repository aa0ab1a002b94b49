/* SPDX-License-Identifier: Apache-2.0
 *
 * Synced appends to Raft's log over RocksDB's log and over the redo log (store/redo.h), in turns:
 *
 *   log_sync DIRECTORY PROCESSES ENTRIES APPENDS
 *
 * So many processes at once, each with a store of both kinds below DIRECTORY (on the disk that is
 * measured), write APPENDS times ENTRIES entries of 256 bytes with wal_save; all are at the same
 * kind at the same time, for BLOCK appends each, after each log was filled once. Prints "ENTRIES:
 * redo <median us> <p99 us>, rocks <median us> <p99 us>, ratio <of medians> <of p99>". */
#include "stores.h"

#include "base/host/host.h"
#include "store/kv_rocks.h"
#include "store/wal/wal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

enum {
    KINDS = 2,
    BLOCK = 50,
    PROCESSES_MAX = 8,
    ENTRY_BYTES = 256,
    APPENDS_MAX = 100000,
    KEEP = 20000
};

struct log {
    struct kv *kv;
    struct wal *wal;
};

struct shared { /* by all processes */
    pthread_barrier_t barrier;
    uint32_t took_us[]; /* kind, process, append */
};

static uint32_t processes;
static uint32_t entries;
static uint32_t appends;
static struct shared *shared;

static void must(enum sh_err err, const char *what)
{
    if (err != SH_OK) {
        (void)fprintf(stderr, "log_sync: %s: %s\n", what, sh_err_text(err));
        exit(1);
    }
}

static struct log open_log(const char *dir, uint32_t process, bool redo)
{
    char path[4096];
    char why[KV_TEXT_BYTES];
    struct log log = {0};
    struct wal_boot boot;
    (void)snprintf(path, sizeof path, "%.4000s/log-%u-%s", dir, process, redo ? "redo" : "rocks");
    struct kv_rocks_options options = {.path = path,
                                       .cfs = stores_state_families,
                                       .cf_count = STORES_STATE_CFS,
                                       .create = true,
                                       .redo = redo};
    must(kv_rocks_open(&options, &log.kv, why), why);
    must(wal_open(log.kv, CF_LOG, CF_META, &boot, &log.wal), "the log");
    return log;
}

static void append(struct log *log, uint32_t count, bool sync)
{
    static uint8_t bytes[ENTRY_BYTES];
    static struct wal_entry batch[WAL_SAVE_COUNT_MAX];
    uint64_t next = wal_last_index(log->wal) + 1;
    for (uint32_t i = 0; i < count; i++) {
        batch[i] = (struct wal_entry){
            .index = next + i, .term = 1, .bytes = {.at = bytes, .size = sizeof bytes}};
    }
    struct wal_hard hard = {.term = 1, .commit = next - 1};
    must(wal_save(log->wal, &hard, batch, count, sync), "writing");
}

static void keep_short(struct log *log)
{
    uint64_t last = wal_last_index(log->wal);
    if (last > wal_compacted_index(log->wal) + 2 * (uint64_t)KEEP) {
        must(wal_compact(log->wal, last - KEEP), "compacting");
    }
}

/* Once round the ring, whose files are made when it first comes to them. */
static void warm_up(struct log *log)
{
    enum { WARM_COUNT = 256, WARM_BYTES = 40 << 20 };
    for (size_t bytes = 0; bytes < WARM_BYTES; bytes += (size_t)WARM_COUNT * ENTRY_BYTES) {
        append(log, WARM_COUNT, false);
        keep_short(log);
    }
    append(log, 1, true);
}

static void pass_barrier(void)
{
    int answer = pthread_barrier_wait(&shared->barrier);
    SH_CHECK(answer == 0 || answer == PTHREAD_BARRIER_SERIAL_THREAD);
}

static void measure(const char *dir, uint32_t process)
{
    struct log logs[KINDS] = {open_log(dir, process, false), open_log(dir, process, true)};
    warm_up(&logs[0]);
    warm_up(&logs[1]);
    for (uint32_t done = 0; done < appends; done += BLOCK) {
        for (uint32_t kind = 0; kind < KINDS; kind++) {
            uint32_t *took =
                shared->took_us + ((size_t)kind * processes + process) * appends + done;
            pass_barrier();
            for (uint32_t i = 0; i < BLOCK; i++) {
                uint64_t begun = sh_now_us();
                append(&logs[kind], entries, true);
                took[i] = (uint32_t)(sh_now_us() - begun);
            }
            keep_short(&logs[kind]);
        }
    }
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        wal_close(logs[kind].wal);
        kv_close(logs[kind].kv);
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(void)
{
    size_t count = (size_t)processes * appends;
    uint32_t *rocks = shared->took_us;
    uint32_t *redo = rocks + count;
    qsort(rocks, count, sizeof *rocks, by_size);
    qsort(redo, count, sizeof *redo, by_size);
    size_t p99 = count - 1 - count / 100;
    (void)printf("%u: redo %u %u, rocks %u %u, ratio %.2f %.2f\n", entries, redo[count / 2],
                 redo[p99], rocks[count / 2], rocks[p99],
                 (double)rocks[count / 2] / (double)redo[count / 2],
                 (double)rocks[p99] / (double)redo[p99]);
}

static bool take_arguments(int argc, char **argv)
{
    if (argc != 5) {
        return false;
    }
    processes = (uint32_t)strtoul(argv[2], NULL, 10);
    entries = (uint32_t)strtoul(argv[3], NULL, 10);
    appends = (uint32_t)strtoul(argv[4], NULL, 10);
    return processes > 0 && processes <= PROCESSES_MAX && entries > 0 &&
           entries <= WAL_SAVE_COUNT_MAX && appends >= BLOCK && appends <= APPENDS_MAX &&
           appends % BLOCK == 0;
}

int main(int argc, char **argv)
{
    pthread_barrierattr_t attr;
    if (!take_arguments(argc, argv)) {
        (void)fprintf(stderr, "usage: log_sync DIRECTORY PROCESSES ENTRIES APPENDS\n");
        return 2;
    }
    size_t size = sizeof *shared + (size_t)KINDS * processes * appends * sizeof(uint32_t);
    shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    SH_CHECK(shared != MAP_FAILED);
    SH_CHECK(pthread_barrierattr_init(&attr) == 0);
    SH_CHECK(pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
    SH_CHECK(pthread_barrier_init(&shared->barrier, &attr, processes) == 0);
    for (uint32_t i = 0; i < processes; i++) {
        pid_t pid = fork();
        SH_CHECK(pid >= 0);
        if (pid == 0) {
            SH_CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
            sh_host_init();
            measure(argv[1], i);
            return 0;
        }
    }
    for (uint32_t i = 0; i < processes; i++) {
        int status = 0;
        SH_CHECK(wait(&status) > 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            exit(1); /* the others wait for it at the barrier, and end with this one */
        }
    }
    report();
    return 0;
}
