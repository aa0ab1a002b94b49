/* SPDX-License-Identifier: Apache-2.0 */
#include "fed/state.h"

static bool was_asked(enum fed_part part)
{
    return part != FED_PART_NONE;
}

static void check_member(const struct fed *f, const struct fed_member *m)
{
    bool at_work = m->part == FED_PART_ASKED || m->part == FED_PART_WORKS;
    SH_CHECK(SH_IMPLIES(at_work, m->present));
    SH_CHECK(SH_IMPLIES(at_work, f->phase == FED_PHASE_OPEN));
    SH_CHECK(SH_IMPLIES(m->busy, m->present));
    SH_CHECK(SH_IMPLIES(m->busy, f->config.late_max > 0));
    SH_CHECK(SH_IMPLIES(m->busy, m->base != FED_NONE));
    SH_CHECK(SH_IMPLIES(m->busy, !at_work));
    SH_CHECK(SH_IMPLIES(f->phase == FED_PHASE_OPEN && was_asked(m->part), m->base == f->at.round));
    SH_CHECK(SH_IMPLIES(m->has_entry, m->entry.base == m->delivered));
    SH_CHECK(SH_IMPLIES(m->has_entry, m->entry.base <= f->at.round));
    SH_CHECK(SH_IMPLIES(m->part == FED_PART_DELIVERED && f->phase == FED_PHASE_OPEN,
                        f->evaluating || m->has_entry));
}

void fed_check(const struct fed *f)
{
    uint32_t open = 0;
    uint32_t live = 0;
    uint32_t entries = 0;
    for (uint32_t i = 0; i < f->config.members_max; i++) {
        const struct fed_member *m = &f->members[i];
        bool at_work = m->part == FED_PART_ASKED || m->part == FED_PART_WORKS;
        open += at_work ? 1 : 0;
        live += at_work || m->part == FED_PART_DELIVERED ? 1 : 0;
        entries += m->has_entry ? 1 : 0;
        check_member(f, m);
    }
    SH_CHECK_CMP(open, ==, f->open);
    SH_CHECK_CMP(live, ==, f->live);
    SH_CHECK_CMP(entries, ==, f->entries);
    SH_CHECK_CMP(f->at.round, <=, f->config.rounds);
    SH_CHECK_CMP(f->extends, <=, FED_EXTENDS_MAX);
    if (f->phase == FED_PHASE_OPEN) {
        uint64_t span = f->config.hard_us;
        SH_CHECK_CMP(f->hard_us, <=, f->opened_us + 2 * span + span / 4);
        SH_CHECK(SH_IMPLIES(!f->backlog, f->now_us < f->hard_us));
        SH_CHECK_CMP(f->order_next, <=, f->order_count);
    }
    SH_CHECK(SH_IMPLIES(f->phase == FED_PHASE_ENDED, f->at.end != FED_END_NONE));
    SH_CHECK(SH_IMPLIES(f->backlog, f->phase == FED_PHASE_OPEN));
}
