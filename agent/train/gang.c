/* SPDX-License-Identifier: Apache-2.0 */
#include "train/gang.h"

#include <string.h>

void train_gang_begin(struct train_gang *gang, struct train_about about,
                      const struct wire_member *members, uint32_t count, uint32_t me,
                      uint64_t session)
{
    SH_CHECK_CMP(me, <, count);
    SH_CHECK_CMP(count, <=, WIRE_MEMBERS_MAX);
    SH_CHECK(session != 0);
    *gang = (struct train_gang){.about = about, .count = count, .me = me};
    memcpy(gang->members, members, count * sizeof *members);
    gang->peers[me] = (struct train_peer){.heard = true, .session = session, .knows = session};
}

void train_gang_stand(struct train_gang *gang, uint64_t position,
                      const uint8_t digest[static SH_DIGEST_BYTES])
{
    struct train_peer *me = &gang->peers[gang->me];
    SH_CHECK(!me->running);
    me->has_state = true;
    me->position = position;
    memcpy(me->digest, digest, SH_DIGEST_BYTES);
}

void train_gang_go(struct train_gang *gang)
{
    SH_CHECK(gang->peers[gang->me].has_state);
    gang->peers[gang->me].running = true;
}

void train_gang_hear(struct train_gang *gang, uint32_t from, const struct train_hello *hello)
{
    SH_CHECK_CMP(from, <, gang->count);
    SH_CHECK_CMP(from, !=, gang->me);
    struct train_peer *peer = &gang->peers[from];
    if (gang->peers[gang->me].running) {
        return;
    }
    *peer = (struct train_peer){.heard = true,
                                .has_state = (hello->flags & TRAIN_HELLO_HAS) != 0,
                                .running = (hello->flags & TRAIN_HELLO_RUNNING) != 0,
                                .session = hello->mine,
                                .knows = hello->yours,
                                .position = hello->position};
    memcpy(peer->digest, hello->digest, SH_DIGEST_BYTES);
}

/* The most advanced member with the smallest id; count when nobody has a state. */
static uint32_t find_first(const struct train_gang *gang)
{
    uint32_t best = gang->count;
    for (uint32_t i = 0; i < gang->count; i++) {
        const struct train_peer *p = &gang->peers[i];
        if (!p->has_state) {
            continue;
        }
        bool better =
            best == gang->count || p->position > gang->peers[best].position ||
            (p->position == gang->peers[best].position &&
             memcmp(gang->members[i].node, gang->members[best].node, SH_NODE_ID_BYTES) < 0);
        best = better ? i : best;
    }
    return best;
}

struct train_verdict train_gang_judge(const struct train_gang *gang)
{
    struct train_verdict verdict = {.advice = TRAIN_WAIT};
    const struct train_peer *me = &gang->peers[gang->me];
    bool everyone = true;
    for (uint32_t i = 0; i < gang->count; i++) {
        const struct train_peer *p = &gang->peers[i];
        everyone = everyone && p->heard;
        if (p->running && p->knows != me->session) {
            verdict.advice = TRAIN_STRANGER;
            return verdict;
        }
    }
    if (!everyone) {
        return verdict;
    }
    uint32_t first = find_first(gang);
    bool untouched = first < gang->count && gang->peers[first].position == 0;
    if (first == gang->count || (untouched && !me->has_state)) {
        verdict.advice = TRAIN_LOAD;
        return verdict;
    }
    const struct train_peer *best = &gang->peers[first];
    bool level = true;
    for (uint32_t i = 0; i < gang->count; i++) {
        const struct train_peer *p = &gang->peers[i];
        bool beside = p->has_state && p->position == best->position;
        if (beside && memcmp(p->digest, best->digest, SH_DIGEST_BYTES) != 0) {
            return (struct train_verdict){.advice = TRAIN_DIFFER, .one = first, .other = i};
        }
        level = level && beside;
    }
    if (!me->has_state || me->position < best->position) {
        return (struct train_verdict){.advice = TRAIN_CATCH_UP, .other = first};
    }
    verdict.advice = level ? TRAIN_GO : TRAIN_WAIT;
    return verdict;
}

bool train_gang_leads(const struct train_gang *gang)
{
    const struct train_peer *me = &gang->peers[gang->me];
    bool leads = me->has_state;
    for (uint32_t i = 0; i < gang->count; i++) {
        const struct train_peer *p = &gang->peers[i];
        leads = leads && p->heard && (!p->has_state || p->position <= me->position);
    }
    return leads;
}

void train_gang_hello(const struct train_gang *gang, uint32_t to, bool asks,
                      struct train_hello *hello)
{
    const struct train_peer *me = &gang->peers[gang->me];
    SH_CHECK_CMP(to, <, gang->count);
    *hello = (struct train_hello){.about = gang->about,
                                  .mine = me->session,
                                  .yours = gang->peers[to].session,
                                  .position = me->position};
    hello->flags = (asks ? TRAIN_HELLO_ASKS : 0) | (me->has_state ? TRAIN_HELLO_HAS : 0) |
                   (me->running ? TRAIN_HELLO_RUNNING : 0);
    memcpy(hello->digest, me->digest, SH_DIGEST_BYTES);
}
