/* SPDX-License-Identifier: Apache-2.0
 *
 * The log beside a naive one: the same random writes, truncations, compactions and completions, and
 * after each the same answers. Then its bounds, one by one. */
#include "net.h"
#include "tst.h"

#include <stdio.h>
#include <string.h>

enum { MODEL_MAX = 4096, CONFS = 8, TERM_RUNS = 8 };

struct model {
    uint64_t first; /* first - 1 has a known term */
    uint64_t last;
    uint64_t durable;
    uint64_t term[MODEL_MAX];
    uint32_t size[MODEL_MAX];
    bool conf[MODEL_MAX];
    uint64_t noted[CONFS]; /* the newest changes; what is older counts as one up to floor */
    uint32_t noted_count;
    uint64_t floor;
    struct raft_token tokens[RAFT_TOKENS];
    uint32_t token_count;
    uint64_t token_issued;
};

static struct raft_config small(void)
{
    struct raft_config config = net_config(1);
    config.limits.batch_entries = 4;
    config.limits.tail_entries = 16;
    config.limits.tail_bytes = 4 * RAFT_CHANGE_BYTES_MAX;
    config.limits.term_runs = TERM_RUNS;
    return config;
}

static struct raft *core_of(struct raft_config config)
{
    return net_new(1, 0x02, 0, 1, &config)->nodes[1].core;
}

static uint8_t byte_at(uint64_t index, uint64_t term, uint32_t at)
{
    return (uint8_t)(index * 31 + term * 7 + at);
}

static bool append_to(struct raft *r, uint64_t term, uint32_t size, bool conf, bool own)
{
    uint8_t data[RAFT_CHANGE_BYTES_MAX];
    for (uint32_t i = 0; i < size; i++) {
        data[i] = byte_at(r->log.last + 1, term, i);
    }
    struct raft_entry entry = {.term = term,
                               .index = r->log.last + 1,
                               .type = conf ? RAFT_ENTRY_CONF : RAFT_ENTRY_NORMAL,
                               .size = size,
                               .data = data};
    return raft_log_append(r, &entry, own);
}

static uint32_t runs_in(const struct model *m, uint64_t *second)
{
    uint32_t runs = 1;
    *second = 0;
    for (uint64_t i = m->first; i <= m->last; i++) {
        if (m->term[i] != m->term[i - 1]) {
            runs++;
            *second = *second == 0 ? i : *second;
        }
    }
    return runs;
}

static void model_append(struct model *m, uint64_t term, uint32_t size, bool conf)
{
    uint64_t second = 0;
    if (term != m->term[m->last] && runs_in(m, &second) == TERM_RUNS) {
        m->first = second + 1; /* the oldest term is forgotten, and with it its entries */
    }
    m->last++;
    m->term[m->last] = term;
    m->size[m->last] = size;
    m->conf[m->last] = conf;
    if (conf && m->noted_count == CONFS) {
        m->floor = m->noted[0];
        memmove(m->noted, m->noted + 1, sizeof m->noted - sizeof m->noted[0]);
        m->noted_count--;
    }
    if (conf) {
        m->noted[m->noted_count++] = m->last;
    }
}

static void model_truncate(struct model *m, uint64_t last)
{
    m->last = last;
    m->durable = m->durable < last ? m->durable : last;
    m->floor = m->floor < last ? m->floor : last;
    while (m->noted_count > 0 && m->noted[m->noted_count - 1] > last) {
        m->noted_count--;
    }
    for (uint32_t i = 0; i < m->token_count; i++) {
        m->tokens[i].last = m->tokens[i].last < last ? m->tokens[i].last : last;
    }
}

static void model_token(struct model *m)
{
    m->token_issued++;
    m->token_count -= m->token_count == RAFT_TOKENS; /* the newest stands for the one before too */
    m->tokens[m->token_count++] = (struct raft_token){.token = m->token_issued, .last = m->last};
}

static void model_persisted(struct model *m, uint64_t token)
{
    while (m->token_count > 0 && m->tokens[0].token <= token) {
        m->durable = m->tokens[0].last > m->durable ? m->tokens[0].last : m->durable;
        m->token_count--;
        memmove(m->tokens, m->tokens + 1, m->token_count * sizeof m->tokens[0]);
    }
}

static void expect_terms(const struct raft *r, const struct model *m)
{
    uint64_t low = m->first >= 3 ? m->first - 3 : 0;
    for (uint64_t i = low; i <= m->last + 2; i++) {
        uint64_t term = 0;
        bool known = i + 1 >= m->first && i <= m->last;
        EXPECT_EQ(raft_log_term(r, i, &term), known);
        EXPECT(!known || term == m->term[i]);
        EXPECT_EQ(raft_log_matches(r, i, m->term[i]), known);
        EXPECT(!raft_log_matches(r, i, m->term[i] + 1));
    }
    EXPECT_EQ(raft_log_last_term(r), m->term[m->last]);
}

/* The newest place at or below at whose term is no higher. */
static void expect_agreement(const struct raft *r, const struct model *m, uint64_t at,
                             uint64_t term)
{
    uint64_t its_term = 77;
    uint64_t found = raft_log_agree(r, at, term, &its_term);
    if (at > m->last || at + 1 < m->first) {
        EXPECT_EQ(found, at);
        EXPECT_EQ(its_term, 0);
        return;
    }
    uint64_t i = at;
    while (i + 1 > m->first && m->term[i] > term) {
        i--;
    }
    bool any = m->term[i] <= term;
    EXPECT_EQ(its_term, any ? m->term[i] : 0);
    EXPECT_EQ(found, any ? i : i > 0 ? i - 1 : 0);
}

static void expect_tail(const struct raft *r, const struct model *m)
{
    EXPECT(r->log.tail_first >= m->first);
    for (uint64_t i = m->first; i <= m->last + 1; i++) {
        bool held = i >= r->log.tail_first && i <= m->last;
        EXPECT_EQ(raft_log_size_at(r, i), held ? m->size[i] : 0);
    }
    if (r->log.tail_first > m->last) {
        return;
    }
    const struct raft_entry *view = raft_log_view(r, r->log.tail_first, m->last);
    for (uint64_t i = r->log.tail_first; i <= m->last; i++, view++) {
        EXPECT_EQ(view->index, i);
        EXPECT_EQ(view->term, m->term[i]);
        EXPECT_EQ(view->type == RAFT_ENTRY_CONF, m->conf[i]);
        EXPECT_EQ(view->size, m->size[i]);
        for (uint32_t k = 0; k < view->size; k++) {
            EXPECT_EQ(view->data[k], byte_at(i, m->term[i], k));
        }
    }
}

static void expect_changes(const struct raft *r, const struct model *m)
{
    uint64_t low = m->first >= 7 ? m->first - 7 : 0; /* of what was compacted it may know more */
    for (uint64_t after = low; after <= m->last; after++) {
        for (uint64_t upto = after; upto <= m->last && upto < after + 4; upto++) {
            bool any = m->floor > after && upto > after;
            for (uint64_t i = after + 1; i <= upto; i++) {
                any |= m->conf[i];
            }
            EXPECT_EQ(raft_log_conf_within(r, after, upto), any);
        }
    }
}

static void expect_same(const struct raft *r, const struct model *m, struct sh_rng *rng)
{
    raft_log_check(r);
    EXPECT_EQ(r->log.first, m->first);
    EXPECT_EQ(r->log.last, m->last);
    EXPECT_EQ(r->log.durable, m->durable);
    expect_terms(r, m);
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t low = m->first >= 3 ? m->first - 3 : 0;
        uint64_t term = sh_rng_between(rng, 0, m->term[m->last] + 1);
        expect_agreement(r, m, sh_rng_between(rng, low, m->last + 2), term);
    }
    expect_tail(r, m);
    expect_changes(r, m);
}

static void grow(struct raft *r, struct model *m, struct sh_rng *rng)
{
    uint64_t term = m->term[m->last] + (sh_rng_chance(rng, 1, 8) ? sh_rng_between(rng, 1, 3) : 0);
    uint32_t size = sh_rng_chance(rng, 1, 3) ? 0 : (uint32_t)sh_rng_between(rng, 1, 400);
    bool conf = sh_rng_chance(rng, 1, 5);
    if (append_to(r, term, size, conf, sh_rng_chance(rng, 1, 2))) {
        model_append(m, term, size, conf);
    }
}

static void disturb(struct raft *r, struct model *m, struct sh_rng *rng)
{
    uint64_t dice = sh_rng_below(rng, 10);
    if (dice < 3) {
        model_token(m);
        EXPECT_EQ(raft_log_token(r), m->token_issued);
    } else if (dice < 7 && m->token_issued > 0) {
        uint64_t oldest = m->token_count > 0 ? m->tokens[0].token : m->token_issued;
        uint64_t token = sh_rng_between(rng, oldest - 1, m->token_issued);
        raft_log_persisted(r, token);
        model_persisted(m, token);
        r->commit = m->durable > r->commit && sh_rng_chance(rng, 1, 2) ? m->durable : r->commit;
        r->applied = r->commit;
    } else if (dice == 7 && sh_rng_chance(rng, 1, 2) && m->last > r->commit &&
               m->last >= m->first) {
        uint64_t least = r->commit >= m->first - 1 ? r->commit : m->first - 1;
        uint64_t last = sh_rng_between(rng, least, m->last - 1);
        raft_log_truncate(r, last);
        model_truncate(m, last);
    } else if (dice == 8 && m->durable >= m->first && sh_rng_chance(rng, 1, 3)) {
        uint64_t most = m->durable < r->applied ? m->durable : r->applied;
        uint64_t index = sh_rng_between(rng, m->first - 1, most < m->first ? m->first - 1 : most);
        raft_log_compact(r, index);
        m->first = index + 1 > m->first ? index + 1 : m->first;
    } else if (dice == 9 && sh_rng_chance(rng, 1, 20)) {
        uint64_t index = m->last + sh_rng_between(rng, 1, 3);
        uint64_t term = m->term[m->last] + 1;
        raft_log_reset(r, index, term);
        memset(m->conf, 0, sizeof m->conf);
        m->first = index + 1;
        m->last = index;
        m->durable = index;
        m->term[index] = term;
        m->floor = 0;
        m->noted_count = 0;
        for (uint32_t i = 0; i < m->token_count; i++) {
            m->tokens[i].last = 0;
        }
        r->commit = index;
        r->applied = index;
    }
}

TEST(a_log_answers_as_a_naive_one_does)
{
    static struct model m;
    uint64_t reached = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct raft *r = core_of(small());
        struct sh_rng rng;
        sh_rng_init(&rng, tst_seed() * 100 + seed);
        m = (struct model){.first = 1};
        for (uint32_t i = 0; i < 600 && m.last < MODEL_MAX - 20; i++) {
            if (sh_rng_chance(&rng, 1, 2)) {
                grow(r, &m, &rng);
            } else {
                disturb(r, &m, &rng);
            }
            expect_same(r, &m, &rng);
        }
        reached += m.last;
    }
    (void)fprintf(stderr, "%llu entries\n", (unsigned long long)reached);
    EXPECT(reached > 2000);
}

static void persist_all(struct raft *r)
{
    raft_log_persisted(r, raft_log_token(r));
    EXPECT_EQ(r->log.durable, r->log.last);
}

TEST(the_newest_entries_stay_in_memory_as_many_as_fit)
{
    struct raft *r = core_of(small());
    for (uint64_t i = 1; i <= 100; i++) {
        EXPECT(append_to(r, 1, 128, false, false)); /* sixteen times 128 are all bytes there are */
        persist_all(r);
        raft_log_check(r);
        uint64_t count = r->log.last + 1 - r->log.tail_first;
        EXPECT(i <= 16 ? count == i : count >= 15); /* one byte stays free where it wraps */
    }
    for (uint64_t i = 1; i <= 100; i++) { /* of larger ones fewer, but never less than do fit */
        EXPECT(append_to(r, 1, 300, false, false));
        persist_all(r);
        uint64_t count = r->log.last + 1 - r->log.tail_first;
        EXPECT(i < 16 || count >= 5);
    }
}

TEST(an_entry_of_all_bytes_fits_where_nothing_else_is)
{
    struct raft_config config = small();
    struct raft *r = core_of(config);
    static uint8_t data[4 * RAFT_CHANGE_BYTES_MAX + 1];
    struct raft_entry entry = {
        .term = 1, .index = 1, .size = config.limits.tail_bytes + 1, .data = data};
    EXPECT(!raft_log_append(r, &entry, true));
    entry.size--;
    EXPECT(raft_log_append(r, &entry, true));
    EXPECT(!append_to(r, 1, 1, false, true)); /* no room before it is on disk */
    persist_all(r);
    EXPECT(append_to(r, 1, 1, false, true));
    EXPECT_EQ(r->log.tail_first, 2);
}

TEST(the_last_slots_are_for_a_leaders_own_entries)
{
    struct raft *r = core_of(small());
    for (uint32_t i = 0; i < 16 - RAFT_RESERVED_SLOTS; i++) {
        EXPECT(append_to(r, 1, 0, false, false));
    }
    EXPECT(!append_to(r, 1, 0, false, false));
    for (uint32_t i = 0; i < RAFT_RESERVED_SLOTS; i++) {
        EXPECT(append_to(r, 1, 0, false, true));
    }
    EXPECT(!append_to(r, 1, 0, false, true));
    raft_log_check(r);
    persist_all(r);
    EXPECT(append_to(r, 1, 0, false, false));
}

TEST(a_term_that_cannot_be_remembered_is_refused_until_an_old_one_may_be_forgotten)
{
    struct raft *r = core_of(small());
    for (uint64_t term = 1; term < TERM_RUNS - 1; term++) { /* term 0 is one of them */
        EXPECT(append_to(r, term, 0, false, false));
    }
    EXPECT(!append_to(r, TERM_RUNS - 1, 0, false, false)); /* the last one is for a leader */
    EXPECT(raft_log_takes_term(r));
    EXPECT(append_to(r, TERM_RUNS - 1, 0, false, true));
    EXPECT(!raft_log_takes_term(r));
    EXPECT(!append_to(r, TERM_RUNS, 0, false, true));
    EXPECT(append_to(r, TERM_RUNS - 1, 0, false, false)); /* more of the same */
    persist_all(r);
    EXPECT(!raft_log_takes_term(r)); /* on disk is not enough */
    r->commit = 1;
    r->applied = 1;
    EXPECT(raft_log_takes_term(r));
    EXPECT(append_to(r, TERM_RUNS, 0, false, false));
    EXPECT_EQ(r->log.first, 2);
    raft_log_check(r);
    EXPECT(!raft_log_takes_term(r));
    r->commit = 2;
    r->applied = 2;
    r->log.durable = 1; /* applied is not enough either */
    EXPECT(!raft_log_takes_term(r));
}

TEST(what_is_not_on_disk_is_not_dropped_from_memory)
{
    struct raft *r = core_of(small());
    for (uint64_t i = 1; i <= 16; i++) {
        EXPECT(append_to(r, 1, 100, false, true));
    }
    EXPECT(!append_to(r, 1, 0, false, true));
    r->log.durable = 1;
    EXPECT(append_to(r, 1, 0, false, true));
    EXPECT_EQ(r->log.tail_first, 2);
    EXPECT(!append_to(r, 1, 0, false, true));
}

TEST(a_boot_with_more_terms_than_are_remembered_keeps_the_newest)
{
    struct raft_config config = small();
    struct raft_run runs[12];
    for (uint32_t i = 0; i < SH_COUNT(runs); i++) {
        runs[i] = (struct raft_run){.first = i * 2, .term = i};
    }
    struct raft_boot boot = {.hard = {.term = 11, .commit = 23},
                             .conf = {.voters = {1}, .voter_count = 1},
                             .applied = 23,
                             .first_index = 1,
                             .last_index = 23,
                             .last_conf_index = 5,
                             .runs = runs,
                             .run_count = SH_COUNT(runs)};
    static _Alignas(64) uint8_t memory[1 << 20];
    EXPECT(raft_bytes(&config.limits) <= sizeof memory);
    struct sh_arena arena;
    sh_arena_init(&arena, memory, sizeof memory);
    struct raft *r = raft_init(&arena, &config, &boot, 0);
    EXPECT_EQ(r->log.first, 17); /* four terms of two entries, and the term before */
    uint64_t term = 0;
    EXPECT(raft_log_term(r, 16, &term));
    EXPECT_EQ(term, 8);
    EXPECT(!raft_log_term(r, 15, &term));
    EXPECT_EQ(raft_log_last_term(r), 11);
    EXPECT(raft_log_conf_within(r, 4, 23)); /* there may be a change up to 5, */
    EXPECT(!raft_log_conf_within(r, 5, 23));
    raft_log_reset(r, 40, 12); /* a snapshot brings all changes before it */
    EXPECT(!raft_log_conf_within(r, 4, 40));
    runs[11].term = 10; /* two runs of one term are one */
    sh_arena_init(&arena, memory, sizeof memory);
    r = raft_init(&arena, &config, &boot, 0);
    EXPECT_EQ(r->log.run_count, 3);
    EXPECT_EQ(raft_log_last_term(r), 10);
    boot.run_count = 4; /* as many as are kept */
    boot.last_index = 7;
    boot.applied = 7;
    boot.hard.commit = 7;
    sh_arena_init(&arena, memory, sizeof memory);
    r = raft_init(&arena, &config, &boot, 0);
    EXPECT_EQ(r->log.first, 1);
    EXPECT_EQ(r->log.run_count, 4);
}

TEST(writes_beyond_those_told_apart_are_noticed_together)
{
    struct raft *r = core_of(small());
    for (uint64_t i = 1; i <= 3; i++) {
        EXPECT(append_to(r, 1, 0, false, true));
    }
    for (uint32_t i = 1; i < RAFT_TOKENS; i++) {
        EXPECT_EQ(raft_log_token(r), i);
    }
    EXPECT(append_to(r, 1, 0, false, true));
    EXPECT_EQ(raft_log_token(r), RAFT_TOKENS);
    EXPECT(append_to(r, 1, 0, false, true));
    EXPECT_EQ(raft_log_token(r), RAFT_TOKENS + 1);
    raft_log_persisted(r, RAFT_TOKENS - 1);
    EXPECT_EQ(r->log.durable, 3);
    raft_log_persisted(r, RAFT_TOKENS);
    EXPECT_EQ(r->log.durable, 3); /* its write is known to be done with the next one */
    raft_log_persisted(r, RAFT_TOKENS + 1);
    EXPECT_EQ(r->log.durable, 5);
    raft_log_persisted(r, 1); /* an old one, told again */
    EXPECT_EQ(r->log.token_durable, RAFT_TOKENS + 1);
    raft_log_check(r);
}
