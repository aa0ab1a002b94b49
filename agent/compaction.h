/* SPDX-License-Identifier: Apache-2.0
 *
 * How much of Raft's log an agent keeps. The log is cut into stretches of so many entries or bytes,
 * whichever comes first. When one is full, all before the one just ended may go: one to two
 * stretches stay for those who are behind, and a follower that needs more gets a snapshot. */
#ifndef AGENT_COMPACTION_H
#define AGENT_COMPACTION_H

#include <stdint.h>

#define COMPACTION_BYTES (32u << 20) /* of payload; entries are --log-entries */

struct compaction {
    uint64_t entries; /* a stretch */
    uint64_t bytes;
    uint64_t before; /* last entry before the stretch that was full */
    uint64_t begun;  /* last entry before the one that is being filled */
    uint64_t last;
    uint64_t filled; /* bytes */
};

/* A log that begins behind compacted and ends with last. */
void compaction_init(struct compaction *c, uint64_t entries, uint64_t compacted, uint64_t last);
/* Entries up to last were appended; it may fall where some were replaced. */
void compaction_append(struct compaction *c, uint64_t last, uint64_t bytes);
/* What may be forgotten now that everything up to applied is in the tables: up to that index, or 0.
 * floor: entries behind it are needed. Told once: the caller forgets them. */
uint64_t compaction_due(struct compaction *c, uint64_t applied, uint64_t floor);
/* A snapshot has replaced the log. */
void compaction_reset(struct compaction *c, uint64_t index);

#endif
