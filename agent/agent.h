/* SPDX-License-Identifier: Apache-2.0
 *
 * What the command line hands to the long-running programs behind `shoal agent` and `shoal demo`.
 * The parser is agent/cli; strings are borrowed from it for the life of the process. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "policy.h"

#include "base/err.h"
#include "wire/node.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENT_JOIN_MAX    16u
#define AGENT_LISTEN_PORT 7711u /* tcp + udp; bulk on the next port */
#define AGENT_API_PORT    8711u
#define AGENT_PATH_MAX    1023u
#define AGENT_WHY_BYTES   4096u /* one line for the operator */
#define AGENT_SLOTS       4u    /* units at a time, where nothing else is said */
#define AGENT_SLOTS_MAX   1024u
/* First of the user ids that root runs commands as: of a range that systemd leaves to nobody. */
#define AGENT_RUN_AS     60600u
#define AGENT_RUN_AS_MAX 9999900u

#define AGENT_LOG_ENTRIES     8192u /* kept for those who are behind, and at most twice as many */
#define AGENT_COPIES          3u    /* of each blob that is named, where there are as many agents */
#define AGENT_COPIES_MAX      8u
#define AGENT_KEEP_UPLOADS_S  86400u /* of what nothing names */
#define AGENT_COLLECT_EVERY_S 600u
#define AGENT_COLLECT_GRACE_S 900u
#define AGENT_COLLECT_MAX_S   2592000u /* a month, of each of these three */

#define AGENT_LOG_ENTRIES_MIN 16u
#define AGENT_LOG_ENTRIES_MAX 1048576u

struct agent_options {
    bool new_cluster;                           /* --new */
    char join[AGENT_JOIN_MAX][SH_ADDR_MAX + 1]; /* --join HOST:PORT, repeatable */
    size_t join_count;
    char secret_file[AGENT_PATH_MAX + 1];    /* --secret; empty: DATA/secret */
    char data_dir[AGENT_PATH_MAX + 1];       /* --data; never empty */
    char listen[SH_ADDR_MAX + 1];            /* --listen; "0.0.0.0:7711" */
    char advertise[SH_ADDR_MAX + 1];         /* --advertise; empty: found out */
    char api[SH_ADDR_MAX + 1];               /* --api; "127.0.0.1:8711" */
    char api_token_file[AGENT_PATH_MAX + 1]; /* --api-token; required when --api is not loopback */
    char name[SH_NAME_MAX + 1];              /* --name; the host name */
    uint32_t threads;                        /* --threads; 0: all cores */
    char zone[WIRE_ZONE_MAX + 1];            /* --zone; empty: this machine is one of its own */
    uint32_t voters;                         /* --voters; 1, 3, 5 or 7 */
    uint32_t log_entries;                    /* --log-entries */
    bool allow_commands;                     /* --allow-commands */
    uint32_t run_as;                         /* --run-as; 0: commands run as the agent does */
    bool run_as_given;                       /* that range or none */
    enum wire_sandbox sandbox_min;           /* --sandbox-min; not OFF where commands are allowed */
    uint32_t copies;                         /* --copies */
    uint64_t keep_uploads_us;                /* --keep-uploads */
    uint64_t collect_every_us;               /* --collect-every */
    uint64_t collect_grace_us;               /* --collect-grace */
    char labels[WIRE_LABELS_BYTES_MAX + 1];  /* --label KEY=VALUE, repeatable */
    uint32_t slots;                          /* --slots; 0: AGENT_SLOTS */
    struct policy_rules policy;              /* --hours, --busy, --on-mains */
};

struct service;

/* An agent in this process, for a program that is a client of its own (service.h). options are
 * borrowed until it is closed. One at a time: SIGTERM and SIGINT ask it to leave. why gets one line
 * on failure, and then nothing is left open. */
SH_MUST_USE enum sh_err agent_open(const struct agent_options *options, struct service **out,
                                   char why[static AGENT_WHY_BYTES]);
/* Its loop, on the thread that calls, until it has left or failed. */
SH_MUST_USE enum sh_err agent_run(struct service *s);
/* When it does not run, and nobody is in a call to it. */
void agent_close(struct service *s);
/* All three. Runs until SIGTERM or SIGINT (leaves gracefully). Returns the exit status of the
 * process (cli/exit.h). */
int agent_main(const struct agent_options *options);

struct restore_options {
    char backup[AGENT_PATH_MAX + 1]; /* made by `shoal backup` */
    char data[AGENT_PATH_MAX + 1];   /* the new data directory: absent or empty */
};

/* Makes a data directory with the tables and blobs of a backup and no log or identity: started with
 * --new it forms a cluster of its own. why (AGENT_WHY_BYTES) gets one line on failure. Returns the
 * exit status; index: what the tables are as of. */
int restore_main(const struct restore_options *options, uint64_t *index, char *why);

struct demo_options {
    bool json;                    /* one JSON object at the end instead of lines */
    bool terminal;                /* draw: standard output is a terminal */
    bool keep;                    /* --keep: leave the directories behind */
    char dir[AGENT_PATH_MAX + 1]; /* --dir; empty: a fresh temporary directory */
};

/* Exit status 0 only where every promise of the demonstration held. */
int demo_main(const struct demo_options *options);

#endif
