/* SPDX-License-Identifier: Apache-2.0
 *
 * What an agent says about itself: who it is, where it listens and what it can do. The record rides
 * as the opaque metadata of a gossip member, so its encoding never exceeds WIRE_NODE_BYTES_MAX.
 * Facts that must be agreed on (admission, which data set lies on which agent) are rows of the jobs
 * core; this record is an agent's own, possibly old, statement. */
#ifndef SH_WIRE_NODE_H
#define SH_WIRE_NODE_H

#include "base/bytes.h"
#include "base/limits.h"

#define WIRE_NODE_BYTES_MAX    832u
#define WIRE_CLASS_BYTES       16u  /* arithmetic class: digest of everything that decides bits */
#define WIRE_ISA_MAX           15u  /* characters, "avx512" */
#define WIRE_ARCH_MAX          15u  /* characters, "x86_64" */
#define WIRE_VERSION_MAX       15u  /* characters, "0.1.0" */
#define WIRE_ZONE_MAX          31u  /* characters; a failure domain, as the operator calls it */
#define WIRE_GPU_NAME_MAX      23u  /* characters; longer names are cut by the agent */
#define WIRE_NODE_DATASETS_MAX 8u   /* tags told by gossip; the tables hold the full list */
#define WIRE_LABELS_MAX        16u  /* labels of an agent, */
#define WIRE_LABELS_BYTES_MAX  255u /* with the commas between */
#define WIRE_LABEL_MAX         31u  /* characters of a key, and of a value */

/* How far an agent can keep commands of job files from the rest of its machine, or how far a job
 * wants them kept: each level gives what those before it give. */
enum wire_sandbox {
    WIRE_SANDBOX_OFF = 0, /* the agent runs no commands; the job has none */
    WIRE_SANDBOX_NONE = 1,
    WIRE_SANDBOX_BASIC = 2,
    WIRE_SANDBOX_STRICT = 3
};

/* Why an agent takes no new work by its owner's wish. */
enum wire_policy {
    WIRE_POLICY_NONE = 0,
    WIRE_POLICY_BUSY = 1,    /* others use it: as much of its cores as its owner allows, or more */
    WIRE_POLICY_HOURS = 2,   /* not within the hours it works for the cluster */
    WIRE_POLICY_BATTERY = 3, /* not on mains */
    WIRE_POLICY_COUNT = 4
};

struct wire_node {
    uint8_t id[SH_NODE_ID_BYTES];
    char name[SH_NAME_MAX + 1]; /* wire_name_ok */
    char addr[SH_ADDR_MAX + 1]; /* HOST:PORT of gossip (udp) and control (tcp) */
    char api[SH_ADDR_MAX + 1];  /* HOST:PORT of the HTTP API; "" when it has none */
    uint16_t bulk_port;         /* tcp, on the host of addr */
    uint8_t class[WIRE_CLASS_BYTES];
    char version[WIRE_VERSION_MAX + 1]; /* of the program */
    char arch[WIRE_ARCH_MAX + 1];       /* as uname -m calls it */
    char isa[WIRE_ISA_MAX + 1];         /* best instruction set the kernels use here */
    char gpu[WIRE_GPU_NAME_MAX + 1];    /* "" when gpus is 0 */
    uint8_t gpus;
    uint64_t gpu_bytes; /* memory of one GPU */
    uint16_t cpus;      /* cores that training may use; at least 1 */
    uint64_t ram_bytes;
    uint16_t slots; /* units it may run at a time; those in use follow from the placements */
    uint16_t
        speed;     /* measured training speed, per mille of the cluster's usual agent; 0: unknown */
    uint16_t load; /* per mille of its cores that others use */
    bool draining; /* finishes what it has, wants nothing new */
    uint8_t dataset_count;
    uint64_t datasets[WIRE_NODE_DATASETS_MAX]; /* wire_dataset_tag of each set it holds */
    uint32_t fsync_p99_us;        /* of its log's disk, over the newest writes; 0: not known */
    char zone[WIRE_ZONE_MAX + 1]; /* agents of one zone fail together; a wire_name_ok, or "" */
    enum wire_sandbox sandbox;    /* the strongest it has for commands */
    /* The least that its owner lets commands run in, whatever a job asks for: with sandbox OFF its
     * machine gives less. OFF: it is to run no commands. */
    enum wire_sandbox sandbox_min;
    enum wire_policy policy;
    uint64_t disk_bytes; /* free for units where it keeps its files, as of late */
    /* "disk=nvme,fast": wire_labels_ok. What its owner says; what follows from other fields is not
     * among them. */
    char labels[WIRE_LABELS_BYTES_MAX + 1];
    uint32_t run_as; /* first id of the users that commands run as; 0: as the agent does */
};

/* Appends the record. The writer turns full when it lacks room; never with WIRE_NODE_BYTES_MAX. */
void wire_node_encode(const struct wire_node *node, struct sh_writer *w);
/* Errors: CORRUPT (truncated, bad name or address, a count past its limit), VERSION. On an error
 * the contents of node are undefined. Bytes after the record are left in the reader. */
SH_MUST_USE enum sh_err wire_node_decode(struct sh_reader *r, struct wire_node *node);

/* First eight bytes of a data set's digest, as a little-endian number. */
uint64_t wire_dataset_tag(const uint8_t digest[static SH_DIGEST_BYTES]);

/* 1 to SH_NAME_MAX of [A-Za-z0-9._-], the first a letter or digit: safe in paths, URLs and keys. */
bool wire_name_ok(const char *name);
/* 1 to SH_ADDR_MAX printable ASCII characters without a blank, with a ':' that is not the first. */
bool wire_addr_ok(const char *addr);

/* At most WIRE_LABELS_MAX labels with commas between, "" for none: KEY or KEY=VALUE, each a word of
 * 1 to WIRE_LABEL_MAX of [A-Za-z0-9._/-], no key twice. */
bool wire_labels_ok(const char *labels);
/* "off hours" and the like; "?" for a number this program does not know. */
const char *wire_policy_text(uint32_t policy);

/* Strings of records: u8 length, then the bytes. A getter turns the reader bad on an embedded NUL
 * or when the text does not fit in size bytes with its terminator. text is at most 255 long. */
void wire_str_put(struct sh_writer *w, const char *text);
void wire_str_get(struct sh_reader *r, char *out, size_t size);

#endif
