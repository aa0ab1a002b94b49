/* SPDX-License-Identifier: Apache-2.0
 *
 * The log as the core knows it: the terms of all of it as runs, the newest entries with their
 * payloads in two rings, and how much of it is on disk. Payloads never wrap round the end of the
 * byte ring, so that an entry is one span. */
#include "raft/core.h"

#include <string.h>

static struct raft_run *runs_of(const struct raft *r)
{
    return raft_part(r, r->layout.runs);
}

static struct raft_slot *slots_of(const struct raft *r)
{
    return raft_part(r, r->layout.slots);
}

static uint8_t *bytes_of(const struct raft *r)
{
    return raft_part(r, r->layout.bytes);
}

static uint32_t tail_count(const struct raft_log *log)
{
    return (uint32_t)(log->last + 1 - log->tail_first);
}

static struct raft_slot *slot_at(const struct raft *r, uint64_t index)
{
    const struct raft_log *log = &r->log;
    SH_CHECK_CMP(index, >=, log->tail_first);
    SH_CHECK_CMP(index, <=, log->last);
    uint64_t at = (log->slot_first + (index - log->tail_first)) % r->config.limits.tail_entries;
    return slots_of(r) + at;
}

void raft_log_init(struct raft *r, const struct raft_boot *boot)
{
    struct raft_log *log = &r->log;
    SH_CHECK_CMP(boot->run_count, >=, 1);
    SH_CHECK_CMP(boot->first_index, >=, 1);
    SH_CHECK_CMP(boot->last_index + 1, >=, boot->first_index);
    SH_CHECK_CMP(boot->runs[0].first, ==, boot->first_index - 1);
    SH_CHECK(SH_IMPLIES(boot->runs[0].first == 0, boot->runs[0].term == 0));
    SH_CHECK_CMP(boot->last_conf_index, <=, boot->last_index);
    uint32_t skip = 0; /* the oldest, where more are given than fit */
    if (boot->run_count > r->config.limits.term_runs / 2) {
        skip = boot->run_count - r->config.limits.term_runs / 2;
    }
    log->run_count = 0;
    for (uint32_t i = skip; i < boot->run_count; i++) {
        /* Where a term was compacted half away, its rest belongs to runs[0]. */
        if (i == skip || boot->runs[i].term != boot->runs[i - 1].term) {
            runs_of(r)[log->run_count++] = boot->runs[i];
        }
    }
    log->first = boot->runs[skip].first + 1;
    log->last = boot->last_index;
    log->durable = boot->last_index;
    log->tail_first = boot->last_index + 1;
    log->conf_floor = boot->last_conf_index;
    log->token_ring = sh_ring_of(RAFT_TOKENS);
    SH_CHECK_CMP(log->first, <=, boot->applied + 1);
}

/* Position of the run that holds index. */
static uint32_t run_of(const struct raft *r, uint64_t index)
{
    const struct raft_run *runs = runs_of(r);
    uint32_t low = 0;
    uint32_t high = r->log.run_count;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (runs[mid].first <= index) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}

bool raft_log_term(const struct raft *r, uint64_t index, uint64_t *term)
{
    if (index + 1 < r->log.first || index > r->log.last) {
        return false;
    }
    *term = runs_of(r)[run_of(r, index)].term;
    return true;
}

bool raft_log_matches(const struct raft *r, uint64_t index, uint64_t term)
{
    uint64_t own = 0;
    return raft_log_term(r, index, &own) && own == term;
}

uint64_t raft_log_last_term(const struct raft *r)
{
    SH_CHECK_CMP(r->log.run_count, >, 0);
    return runs_of(r)[r->log.run_count - 1].term;
}

uint64_t raft_log_agree(const struct raft *r, uint64_t at, uint64_t term, uint64_t *its_term)
{
    const struct raft_run *runs = runs_of(r);
    *its_term = 0;
    if (at > r->log.last || at + 1 < r->log.first) {
        return at;
    }
    uint32_t k = run_of(r, at);
    if (runs[k].term <= term) {
        *its_term = runs[k].term;
        return at;
    }
    while (k > 0 && runs[k].term > term) {
        k--;
    }
    if (runs[k].term > term) { /* below what is remembered, so not index 0: that has term 0 */
        return runs[0].first - 1;
    }
    *its_term = runs[k].term;
    return runs[k + 1].first - 1;
}

static void drop_oldest(struct raft *r)
{
    struct raft_log *log = &r->log;
    SH_CHECK_CMP(log->tail_first, <=, log->last);
    log->slot_first = (log->slot_first + 1) % r->config.limits.tail_entries;
    log->tail_first++;
}

static bool drop_durable(struct raft *r)
{
    if (r->log.tail_first > r->log.last || r->log.tail_first > r->log.durable) {
        return false;
    }
    drop_oldest(r);
    return true;
}

/* Where a payload of this size can stand now, without touching what is there. */
static bool find_bytes(const struct raft *r, uint32_t size, uint32_t *offset)
{
    const struct raft_log *log = &r->log;
    uint32_t capacity = r->config.limits.tail_bytes;
    if (tail_count(log) == 0) {
        *offset = 0;
        return size <= capacity;
    }
    const struct raft_slot *oldest = slot_at(r, log->tail_first);
    const struct raft_slot *newest = slot_at(r, log->last);
    uint32_t end = newest->offset + newest->size;
    if (newest->offset >= oldest->offset) {
        *offset = end;
        if (size <= capacity - end) {
            return true;
        }
        *offset = 0;
        return size < oldest->offset;
    }
    /* Wrapped: one byte stays free, so that a full ring never looks like an unwrapped one. */
    *offset = end;
    return end + size < oldest->offset;
}

/* The oldest run can be forgotten: nothing in it will be asked for again but by members far behind.
 */
static bool run_is_old(const struct raft *r)
{
    const struct raft_run *runs = runs_of(r);
    return r->log.run_count > 1 && runs[1].first <= r->applied && runs[1].first <= r->log.durable;
}

bool raft_log_takes_term(const struct raft *r)
{
    return r->log.run_count < r->config.limits.term_runs || run_is_old(r);
}

static void drop_run(struct raft *r)
{
    struct raft_log *log = &r->log;
    struct raft_run *runs = runs_of(r);
    memmove(runs, runs + 1, (log->run_count - 1) * sizeof *runs);
    log->run_count--;
    log->first = runs[0].first + 1;
    while (log->tail_first < log->first) {
        drop_oldest(r);
    }
}

static bool make_room(struct raft *r, const struct raft_entry *entry, bool own, uint32_t *offset)
{
    struct raft_log *log = &r->log;
    const struct raft_limits *limits = &r->config.limits;
    if (!own && log->last - log->durable >= limits->tail_entries - RAFT_RESERVED_SLOTS) {
        return false;
    }
    if (entry->term != raft_log_last_term(r)) {
        uint32_t limit = own ? limits->term_runs : limits->term_runs - 1;
        if (log->run_count >= limit && !run_is_old(r)) {
            return false;
        }
    }
    while (tail_count(log) == limits->tail_entries) {
        if (!drop_durable(r)) {
            return false;
        }
    }
    while (!find_bytes(r, entry->size, offset)) {
        if (!drop_durable(r)) {
            return false;
        }
    }
    return true;
}

static void note_conf(struct raft_log *log, uint64_t index)
{
    if (log->conf_count == RAFT_CONF_TRAIL) {
        log->conf_floor = log->conf_at[0];
        memmove(log->conf_at, log->conf_at + 1, (RAFT_CONF_TRAIL - 1) * sizeof log->conf_at[0]);
        log->conf_count--;
    }
    log->conf_at[log->conf_count] = index;
    log->conf_count++;
}

bool raft_log_append(struct raft *r, const struct raft_entry *entry, bool own)
{
    struct raft_log *log = &r->log;
    SH_CHECK_CMP(entry->index, ==, log->last + 1);
    SH_CHECK_CMP(entry->term, >=, raft_log_last_term(r));
    uint32_t offset = 0;
    if (!make_room(r, entry, own, &offset)) {
        return false;
    }
    if (entry->term != raft_log_last_term(r)) {
        if (log->run_count == r->config.limits.term_runs) {
            drop_run(r);
        }
        runs_of(r)[log->run_count] = (struct raft_run){.first = entry->index, .term = entry->term};
        log->run_count++;
    }
    log->last = entry->index;
    struct raft_slot *slot = slot_at(r, entry->index);
    *slot = (struct raft_slot){.offset = offset, .size = entry->size, .type = entry->type};
    if (entry->size > 0) {
        memcpy(bytes_of(r) + offset, entry->data, entry->size);
    }
    if (entry->type == RAFT_ENTRY_CONF) {
        note_conf(log, entry->index);
    }
    return true;
}

void raft_log_truncate(struct raft *r, uint64_t last)
{
    struct raft_log *log = &r->log;
    struct raft_run *runs = runs_of(r);
    SH_CHECK_CMP(last, >=, r->commit);
    SH_CHECK_CMP(last, <, log->last);
    SH_CHECK_CMP(last + 1, >=, log->first);
    log->last = last;
    if (log->tail_first > last + 1) {
        log->tail_first = last + 1;
    }
    while (log->run_count > 1 && runs[log->run_count - 1].first > last) {
        log->run_count--;
    }
    while (log->conf_count > 0 && log->conf_at[log->conf_count - 1] > last) {
        log->conf_count--;
    }
    if (log->conf_floor > last) {
        log->conf_floor = last;
    }
    /* What is being written beyond here will be replaced: its completion promises nothing. */
    if (log->durable > last) {
        log->durable = last;
    }
    for (uint32_t i = 0; i < log->token_ring.count; i++) {
        struct raft_token *token = &log->tokens[sh_ring_at(&log->token_ring, i)];
        if (token->last > last) {
            token->last = last;
        }
    }
}

void raft_log_compact(struct raft *r, uint64_t index)
{
    struct raft_log *log = &r->log;
    struct raft_run *runs = runs_of(r);
    SH_CHECK_CMP(index, <=, r->applied);
    SH_CHECK_CMP(index, <=, log->durable);
    if (index < log->first) {
        return;
    }
    uint32_t k = run_of(r, index);
    memmove(runs, runs + k, (log->run_count - k) * sizeof *runs);
    log->run_count -= k;
    runs[0].first = index;
    log->first = index + 1;
    while (log->tail_first < log->first) { /* at most all of it: index is in the log */
        drop_oldest(r);
    }
}

void raft_log_reset(struct raft *r, uint64_t index, uint64_t term)
{
    struct raft_log *log = &r->log;
    runs_of(r)[0] = (struct raft_run){.first = index, .term = term};
    log->run_count = 1;
    log->first = index + 1;
    log->last = index;
    log->durable = index;
    log->tail_first = index + 1;
    log->conf_floor = 0;
    log->conf_count = 0;
    for (uint32_t i = 0; i < log->token_ring.count; i++) {
        log->tokens[sh_ring_at(&log->token_ring, i)].last = 0;
    }
}

const struct raft_entry *raft_log_view(const struct raft *r, uint64_t low, uint64_t high)
{
    const struct raft_log *log = &r->log;
    struct raft_entry *views = raft_part(r, r->layout.views);
    SH_CHECK_CMP(low, >=, log->tail_first);
    SH_CHECK_CMP(low, <=, high);
    for (uint64_t i = low; i <= high; i++) {
        const struct raft_slot *slot = slot_at(r, i);
        struct raft_entry *view = &views[i - log->tail_first];
        bool known = raft_log_term(r, i, &view->term);
        SH_CHECK(known);
        view->index = i;
        view->type = (enum raft_entry_type)slot->type;
        view->size = slot->size;
        view->data = bytes_of(r) + slot->offset;
    }
    return &views[low - log->tail_first];
}

uint32_t raft_log_size_at(const struct raft *r, uint64_t index)
{
    if (index < r->log.tail_first || index > r->log.last) {
        return 0;
    }
    return slot_at(r, index)->size;
}

bool raft_log_conf_within(const struct raft *r, uint64_t after, uint64_t upto)
{
    const struct raft_log *log = &r->log;
    if (log->conf_floor > after && upto > after) {
        return true;
    }
    for (uint32_t i = 0; i < log->conf_count; i++) {
        if (log->conf_at[i] > after && log->conf_at[i] <= upto) {
            return true;
        }
    }
    return false;
}

uint64_t raft_log_token(struct raft *r)
{
    struct raft_log *log = &r->log;
    log->token_issued++;
    uint32_t at = 0;
    if (sh_ring_full(&log->token_ring)) {
        /* The newest two become one: the earlier is noticed with the later, which is only slower.
         */
        at = sh_ring_at(&log->token_ring, log->token_ring.count - 1);
    } else {
        at = sh_ring_push(&log->token_ring);
    }
    log->tokens[at] = (struct raft_token){.token = log->token_issued, .last = log->last};
    return log->token_issued;
}

void raft_log_persisted(struct raft *r, uint64_t token)
{
    struct raft_log *log = &r->log;
    SH_CHECK_CMP(token, <=, log->token_issued);
    if (token <= log->token_durable) {
        return;
    }
    log->token_durable = token;
    while (log->token_ring.count > 0) {
        struct raft_token oldest = log->tokens[sh_ring_at(&log->token_ring, 0)];
        if (oldest.token > token) {
            break;
        }
        uint32_t popped = sh_ring_pop(&log->token_ring);
        SH_CHECK_CMP(log->tokens[popped].last, <=, log->last);
        if (oldest.last > log->durable) {
            log->durable = oldest.last;
        }
    }
}

void raft_log_check(const struct raft *r)
{
    const struct raft_log *log = &r->log;
    const struct raft_run *runs = runs_of(r);
    SH_CHECK_CMP(log->first, <=, log->last + 1);
    SH_CHECK_CMP(log->durable, <=, log->last);
    SH_CHECK_CMP(log->durable + 1, >=, log->first);
    SH_CHECK_CMP(log->tail_first, >=, log->first);
    SH_CHECK_CMP(log->tail_first, <=, log->last + 1);
    SH_CHECK_CMP(log->last + 1 - log->tail_first, <=, r->config.limits.tail_entries);
    SH_CHECK_CMP(log->run_count, >=, 1);
    SH_CHECK_CMP(log->run_count, <=, r->config.limits.term_runs);
    SH_CHECK_CMP(runs[0].first + 1, ==, log->first);
    for (uint32_t i = 1; i < log->run_count; i++) {
        SH_CHECK_CMP(runs[i].first, >, runs[i - 1].first);
        SH_CHECK_CMP(runs[i].term, >, runs[i - 1].term);
    }
    SH_CHECK_CMP(runs[log->run_count - 1].first, <=, log->last);
    for (uint64_t i = log->tail_first; i <= log->last; i++) {
        const struct raft_slot *slot = slot_at(r, i);
        SH_CHECK_CMP((uint64_t)slot->offset + slot->size, <=, r->config.limits.tail_bytes);
        if (i > log->tail_first) { /* each stands behind its elder, or began again at 0 */
            const struct raft_slot *elder = slot_at(r, i - 1);
            SH_CHECK(slot->offset == elder->offset + elder->size || slot->offset == 0);
        }
    }
    uint64_t before = log->token_durable;
    for (uint32_t i = 0; i < log->token_ring.count; i++) {
        const struct raft_token *token = &log->tokens[sh_ring_at(&log->token_ring, i)];
        SH_CHECK_CMP(token->token, >, before);
        SH_CHECK_CMP(token->last, <=, log->last);
        before = token->token;
    }
    SH_CHECK_CMP(before, <=, log->token_issued);
    for (uint32_t i = 0; i < log->conf_count; i++) {
        SH_CHECK_CMP(log->conf_at[i], <=, log->last);
    }
}

uint64_t raft_log_digest(const struct raft *r, uint64_t seed, uint64_t base)
{
    const struct raft_log *log = &r->log;
    uint64_t numbers[] = {log->first,
                          log->last,
                          log->durable,
                          log->tail_first,
                          log->conf_floor,
                          log->token_issued - base,
                          log->token_durable - base};
    uint64_t hash = sh_hash64(seed, numbers, sizeof numbers);
    hash = sh_hash64(hash, runs_of(r), log->run_count * sizeof(struct raft_run));
    hash = sh_hash64(hash, log->conf_at, log->conf_count * sizeof log->conf_at[0]);
    for (uint32_t i = 0; i < log->token_ring.count; i++) {
        struct raft_token token = log->tokens[sh_ring_at(&log->token_ring, i)];
        token.token -= base;
        hash = sh_hash64(hash, &token, sizeof token);
    }
    for (uint64_t i = log->tail_first; i <= log->last; i++) {
        const struct raft_slot *slot = slot_at(r, i);
        hash = sh_hash64(hash ^ slot->type, bytes_of(r) + slot->offset, slot->size);
    }
    return hash;
}
