/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/health.h"

#include "base/decay.h"

uint32_t jobs_health_score(const struct jobs_health *h, uint64_t now_us)
{
    uint64_t age_us = now_us > h->score_us ? now_us - h->score_us : 0;
    return (uint32_t)sh_decay(h->score_milli, age_us, JOBS_BLAME_HALF_US);
}

bool jobs_health_quarantined(const struct jobs_health *h, uint64_t now_us)
{
    return h->until_us > now_us || jobs_health_untested(h, now_us);
}

bool jobs_health_untested(const struct jobs_health *h, uint64_t now_us)
{
    return h->trial > 0 && !h->tested && h->until_us <= now_us;
}

bool jobs_health_on_trial(const struct jobs_health *h, uint64_t now_us)
{
    return h->trial > 0 && !jobs_health_quarantined(h, now_us);
}

static void quarantine(struct jobs_health *h, uint64_t now_us)
{
    uint64_t time_us = JOBS_QUARANTINE_US;
    for (uint32_t i = 0; i < h->strikes && time_us < JOBS_QUARANTINE_MAX_US; i++) {
        time_us *= 2;
    }
    h->until_us = now_us + (time_us < JOBS_QUARANTINE_MAX_US ? time_us : JOBS_QUARANTINE_MAX_US);
    h->strikes = h->strikes < UINT8_MAX ? (uint8_t)(h->strikes + 1) : UINT8_MAX;
    h->trial = JOBS_TRIAL_UNITS;
    h->tested = false;
    h->score_milli = 0;
    h->suspect_job = 0;
}

bool jobs_health_blame(struct jobs_health *h, uint64_t now_us)
{
    bool trial = jobs_health_on_trial(h, now_us);
    if (jobs_health_quarantined(h, now_us)) {
        return false; /* what began there before ends there */
    }
    h->score_milli = jobs_health_score(h, now_us) + JOBS_BLAME_MILLI;
    h->score_us = now_us;
    if (!trial && h->score_milli < JOBS_QUARANTINE_MILLI) {
        return false;
    }
    quarantine(h, now_us);
    return true;
}

bool jobs_health_failed(struct jobs_health *h, uint64_t job, uint64_t now_us)
{
    bool known = h->suspect_job != 0 && now_us - h->suspect_us < JOBS_SUSPECT_US;
    bool counts = jobs_health_on_trial(h, now_us) || (known && h->suspect_job != job);
    h->suspect_job = job;
    h->suspect_us = now_us;
    if (counts) {
        (void)jobs_health_blame(h, now_us);
    }
    return counts;
}

bool jobs_health_fit(struct jobs_health *h, bool fit, uint64_t now_us)
{
    if (!jobs_health_untested(h, now_us)) {
        return false;
    }
    h->tested = fit;
    if (!fit) {
        quarantine(h, now_us);
    }
    return true;
}

bool jobs_health_parole(struct jobs_health *h, uint64_t now_us)
{
    bool held = h->until_us > now_us;
    h->until_us = held ? now_us : h->until_us;
    return held;
}

void jobs_health_completed(struct jobs_health *h, uint64_t now_us)
{
    if (!jobs_health_on_trial(h, now_us)) {
        return;
    }
    h->trial--;
    if (h->trial == 0) {
        *h = (struct jobs_health){0};
    }
}

uint64_t jobs_failure_kind(enum sh_err reason, const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)reason;
    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    }
    return hash;
}

bool jobs_trouble_add(struct jobs_trouble *t, const uint8_t node[static SH_NODE_ID_BYTES],
                      uint64_t kind, uint64_t now_us)
{
    uint32_t nodes = 0;
    t->count += t->count < JOBS_TROUBLE_MAX;
    memmove(&t->failures[1], &t->failures[0], (t->count - 1) * sizeof t->failures[0]);
    t->failures[0] = (struct jobs_failure){.at_us = now_us, .kind = kind};
    memcpy(t->failures[0].node, node, SH_NODE_ID_BYTES);
    for (uint32_t i = 0; i < t->count; i++) {
        bool again = false;
        for (uint32_t j = 0; j < i; j++) {
            again =
                again || (t->failures[j].kind == kind &&
                          memcmp(t->failures[j].node, t->failures[i].node, SH_NODE_ID_BYTES) == 0);
        }
        nodes += t->failures[i].kind == kind && !again;
    }
    return nodes >= JOBS_POISON_NODES;
}

uint64_t jobs_backoff_us(struct wire_unit unit, uint32_t failures)
{
    uint64_t most_us = JOBS_BACKOFF_US;
    for (uint32_t i = 1; i < failures && most_us < JOBS_BACKOFF_MAX_US; i++) {
        most_us *= 2;
    }
    most_us = most_us < JOBS_BACKOFF_MAX_US ? most_us : JOBS_BACKOFF_MAX_US;
    uint64_t hash = (unit.job * UINT64_C(0x9e3779b97f4a7c15)) ^
                    ((uint64_t)unit.unit << 32 | failures) * UINT64_C(0xd6e8feb86659fd93);
    hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return most_us / 2 + (hash >> 40) % (most_us / 2 + 1);
}
