/* SPDX-License-Identifier: Apache-2.0
 *
 * usage: fed_scripts FILE... : tells each script's story to one core of federated rounds and
 * compares what it decides.
 *
 *   rounds rounds=N [fraction=PPM | count=N] [over=PERMILLE] [goal=PPM | updates=N] [least=N]
 *          [hard=MS] [carry] [late=N] [skips=N] [patience=N] [target=MILLI] [evaluate]
 *   join ids=(A, B) | gone ids=(A) | start [round=N]
 *   accept ids=(A) | decline ids=(A) | update ids=(A) [round=N] | fail ids=(A)
 *          answers of members to the running round
 *   committed [score=MILLI]
 *   run ms=N           lets time pass; the timer comes at each deadline
 *   parts              what each member is to the round
 */
#include "base/check.h"
#include "datadriven.h"
#include "fed/fed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMBERS = 64, MEMORY = 1 << 16 };

struct story {
    _Alignas(64) uint8_t memory[MEMORY];
    struct fed *fed;
    uint64_t now_us;
    uint64_t updates;
    struct dd_text *out;
};

static uint64_t number(const struct dd_case *c, const char *key, uint64_t otherwise)
{
    const char *text = dd_value(c, key, NULL);
    return text == NULL ? otherwise : dd_number(text);
}

static void found(struct story *s, const struct dd_case *c)
{
    struct fed_config config = {.members_max = MEMBERS,
                                .seed = 1,
                                .rounds = number(c, "rounds", 1),
                                .evaluates = dd_arg(c, "evaluate") != NULL,
                                .select = FED_ALL,
                                .fraction_ppm = (uint32_t)number(c, "fraction", 0),
                                .count = (uint32_t)number(c, "count", 0),
                                .over_permille = (uint32_t)number(c, "over", 1000),
                                .goal_ppm = (uint32_t)number(c, "goal", 1000000),
                                .goal_count = (uint32_t)number(c, "updates", 0),
                                .least = (uint32_t)number(c, "least", 1),
                                .hard_us = number(c, "hard", 1000) * 1000,
                                .carry = dd_arg(c, "carry") != NULL,
                                .late_max = (uint32_t)number(c, "late", 0),
                                .skips_max = (uint32_t)number(c, "skips", 3),
                                .patience = (uint32_t)number(c, "patience", 0),
                                .has_target = dd_arg(c, "target") != NULL,
                                .target = (double)number(c, "target", 0) / 1000};
    struct sh_arena arena;
    config.select = config.fraction_ppm > 0 ? FED_FRACTION : FED_ALL;
    config.select = config.count > 0 ? FED_COUNT : config.select;
    SH_CHECK_CMP(fed_bytes(MEMBERS), <=, MEMORY);
    memset(s->memory, 0, sizeof s->memory);
    sh_arena_init(&arena, s->memory, sizeof s->memory);
    s->fed = fed_init(&config, &arena);
}

static void tell_entries(const struct story *s)
{
    struct fed_entry e;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (fed_entry(s->fed, i, &e)) {
            dd_printf(s->out, " %u", i);
            if (e.base != fed_round(s->fed)) {
                dd_printf(s->out, "(of %llu)", (unsigned long long)e.base);
            }
        }
    }
}

static void tell(const struct story *s, const struct fed_action *a)
{
    unsigned long long round = a->round;
    switch (a->kind) {
    case FED_DO_OPEN:
        dd_printf(s->out, "round %llu opens%s, cohort %u\n", round,
                  a->evaluates ? " to evaluate" : "", fed_cohort(s->fed));
        break;
    case FED_DO_INVITE:
        dd_printf(s->out, "ask %u\n", a->member);
        break;
    case FED_DO_DROP:
        dd_printf(s->out, "drop update %llu\n", (unsigned long long)a->update);
        break;
    case FED_DO_CLOSE:
        dd_printf(s->out, "round %llu closes after %llu ms, %s:", round,
                  (unsigned long long)(s->now_us - fed_opened_us(s->fed)) / 1000,
                  fed_outcome_name(a->outcome));
        tell_entries(s);
        dd_printf(s->out, "\n");
        break;
    case FED_DO_END:
        dd_printf(s->out, "the end: %s\n", fed_end_text(a->end));
        break;
    }
}

static void step(struct story *s, struct fed_event *e)
{
    struct fed_update u;
    e->now_us = s->now_us;
    fed_step(s->fed, e, &u);
    fed_check(s->fed);
    if (u.verdict != FED_VERDICT_NONE && u.verdict != FED_VERDICT_TAKEN) {
        dd_printf(s->out, "update of %u %s\n", e->member, fed_verdict_text(u.verdict));
    }
    for (uint32_t i = 0; i < u.count; i++) {
        tell(s, &u.actions[i]);
    }
}

static void each(struct story *s, const struct dd_case *c, enum fed_event_kind kind)
{
    const struct dd_arg *ids = dd_arg(c, "ids");
    SH_CHECK(ids != NULL);
    for (uint32_t i = 0; i < ids->count; i++) {
        struct fed_event e = {.kind = kind,
                              .member = (uint32_t)dd_number(ids->values[i]),
                              .round = number(c, "round", fed_round(s->fed))};
        if (kind == FED_EV_JOIN) {
            e.key = e.member;
        } else if (kind == FED_EV_UPDATE) {
            e.update = s->updates++;
        } else if (kind == FED_EV_REPLY) {
            e.accepted = strcmp(c->command, "accept") == 0;
        }
        step(s, &e);
    }
}

static void run(struct story *s, uint64_t ms)
{
    uint64_t until = s->now_us + ms * 1000;
    while (fed_deadline_us(s->fed) <= until) {
        uint64_t at = fed_deadline_us(s->fed);
        s->now_us = at > s->now_us ? at : s->now_us;
        step(s, &(struct fed_event){.kind = FED_EV_TIMER});
    }
    s->now_us = until;
}

static void parts(const struct story *s)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (fed_part(s->fed, i) != FED_PART_NONE) {
            dd_printf(s->out, "%u %s\n", i, fed_part_text(fed_part(s->fed, i)));
        }
    }
}

static void handle(void *ctx, const struct dd_case *c, struct dd_text *out)
{
    static const struct {
        const char *word;
        enum fed_event_kind kind;
    } EACH[] = {{"join", FED_EV_JOIN},     {"gone", FED_EV_GONE},     {"accept", FED_EV_REPLY},
                {"decline", FED_EV_REPLY}, {"update", FED_EV_UPDATE}, {"fail", FED_EV_FAILED}};
    struct story *s = ctx;
    s->out = out;
    for (size_t i = 0; i < SH_COUNT(EACH); i++) {
        if (strcmp(c->command, EACH[i].word) == 0) {
            each(s, c, EACH[i].kind);
            return;
        }
    }
    if (strcmp(c->command, "rounds") == 0) {
        found(s, c);
    } else if (strcmp(c->command, "start") == 0) {
        struct fed_event e = {.kind = FED_EV_START, .start = {.round = number(c, "round", 0)}};
        step(s, &e);
    } else if (strcmp(c->command, "committed") == 0) {
        struct fed_event e = {.kind = FED_EV_COMMITTED};
        e.committed.scored = dd_arg(c, "score") != NULL;
        e.committed.score = (double)number(c, "score", 0) / 1000;
        step(s, &e);
    } else if (strcmp(c->command, "run") == 0) {
        run(s, number(c, "ms", 0));
    } else if (strcmp(c->command, "parts") == 0) {
        parts(s);
    } else {
        dd_printf(out, "unknown directive %s\n", c->command);
    }
}

int main(int argc, char **argv)
{
    static struct story story;
    struct dd_stats stats = {0};
    for (int i = 1; i < argc; i++) {
        story = (struct story){.now_us = 1};
        if (!dd_run(argv[i], handle, &story, &stats)) {
            (void)fprintf(stderr, "cannot read %s\n", argv[i]);
            return 2;
        }
    }
    (void)printf("%u passed, %u failed\n", stats.passed, stats.failed);
    return argc > 1 && stats.failed == 0 && stats.passed > 0 ? 0 : 1;
}
