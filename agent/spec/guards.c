/* SPDX-License-Identifier: Apache-2.0
 *
 * What guards the data of a federated job's members: privacy against whoever reads the models,
 * secure against whoever adds up the updates. What does not go together is refused with the reason.
 */
#include "spec/federated_parts.h"

#include "spec/schema.h"

#include "kernels/agg/accountant.h"

#include <stdio.h>

#define CLIP_MAX      1e6
#define NOISE_MIN     0.01
#define NOISE_MAX     1000.0
#define DELTA_DEFAULT 1e-5
#define EPSILON_MAX   1e6
#define SECURE_LEAST  3u

#define NUMBER(name, member, ...)                                                                  \
    {                                                                                              \
        .key = (name), .type = SPEC_FIELD_NUMBER,                                                  \
        .offset = offsetof(struct spec_job, federated.member), __VA_ARGS__                         \
    }

static const struct spec_field PRIVACY[] = {
    NUMBER("clip", privacy.clip, .low = 0, .high = CLIP_MAX, .low_open = true, .required = true),
    NUMBER("noise", privacy.noise, .low = NOISE_MIN, .high = NOISE_MAX, .required = true),
    NUMBER("delta", privacy.delta, .low = 0, .high = 1, .low_open = true, .high_open = true),
    NUMBER("epsilon_max", privacy.epsilon_max, .low = 0, .high = EPSILON_MAX, .low_open = true)};

void spec_take_privacy(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_federated *f = &((struct spec_job *)base)->federated;
    f->privacy = (struct spec_privacy){.on = true, .delta = DELTA_DEFAULT};
    spec_decode_map(d, node, PRIVACY, SH_COUNT(PRIVACY), base);
}

/* ---- between keys ---- */

/* Where the file does not say how few updates may make a model. */
static void raise_least(struct spec_decode *d, struct spec_federated *f)
{
    const bool said = spec_federated_member(d, "federated", "min") != NULL;
    if (f->secure && !said && f->least < SECURE_LEAST) {
        f->least = SECURE_LEAST;
    }
}

/* Privacy bounds what one member adds: all count alike. */
static void check_weight(struct spec_decode *d, struct spec_federated *f)
{
    if (!f->privacy.on) {
        return;
    }
    if (spec_federated_member(d, "federated", "weight") != NULL && f->weight != SPEC_WEIGHT_EQUAL) {
        spec_federated_wrong(d, "federated", "weight",
                             "must be equal, or left out, with privacy: the noise is made for what "
                             "one member can add, and a weight would change that");
    }
    f->weight = SPEC_WEIGHT_EQUAL;
}

static void check_privacy(struct spec_decode *d, const struct spec_job *job)
{
    const struct spec_federated *f = &job->federated;
    const struct spec_privacy *p = &f->privacy;
    char text[200];
    if (!p->on) {
        return;
    }
    if (f->rule != SPEC_RULE_MEAN) {
        spec_federated_wrong(
            d, "federated", "privacy",
            "is not possible with a rule against liars: noise is made for a sum of "
            "clipped updates, and what a vote or a bound by the others' lengths "
            "tells of one update is not bounded by that");
    }
    if (f->algorithm == SPEC_SCAFFOLD) {
        spec_federated_wrong(d, "federated", "privacy",
                             "is not possible with scaffold: its control variates would be sent "
                             "without noise");
    }
    if (f->algorithm == SPEC_FEDBUFF) {
        spec_federated_wrong(d, "federated", "privacy",
                             "is not possible with fedbuff: late updates weigh less, and the noise "
                             "is made for equal weights");
    }
    if (p->epsilon_max > 0) {
        uint64_t rounds = kn_ledger_rounds(1.0, p->noise, p->delta, p->epsilon_max);
        if (rounds < f->rounds) {
            (void)snprintf(text, sizeof text,
                           "noise %g and delta %g spend epsilon %g in %llu rounds, and federated."
                           "rounds is %u: more noise, fewer rounds, or a larger epsilon_max",
                           p->noise, p->delta, p->epsilon_max, (unsigned long long)rounds,
                           f->rounds);
            spec_federated_wrong(d, "federated", "privacy", text);
        }
    }
}

static void check_secure(struct spec_decode *d, const struct spec_job *job)
{
    const struct spec_federated *f = &job->federated;
    if (!f->secure) {
        return;
    }
    if (f->rule != SPEC_RULE_MEAN) {
        spec_federated_wrong(d, "federated", "secure",
                             "is not possible with a rule against liars: the rule has to see every "
                             "update, and a secure sum shows the sum only");
    }
    if (f->algorithm == SPEC_SCAFFOLD) {
        spec_federated_wrong(d, "federated", "secure",
                             "is not possible with scaffold: its control variates are not masked");
    }
    if (f->algorithm == SPEC_FEDBUFF) {
        spec_federated_wrong(d, "federated", "secure",
                             "is not possible with fedbuff: masks fit among the members of one "
                             "round, and late updates belong to another");
    }
    if (f->carry) {
        spec_federated_wrong(d, "federated", "short",
                             "must be skip with secure: an update is masked for one round");
    }
    if (f->least < SECURE_LEAST) {
        spec_federated_wrong(d, "federated", "min",
                             "must be at least 3 with secure: of the sum of two each knows the "
                             "other's update");
    }
}

void spec_check_guards(struct spec_decode *d, struct spec_job *job)
{
    raise_least(d, &job->federated);
    check_weight(d, &job->federated);
    check_privacy(d, job);
    check_secure(d, job);
}

/* ---- canonical ---- */

void spec_put_guards(json_t *fed, const struct spec_federated *f)
{
    const struct spec_privacy *p = &f->privacy;
    if (p->on) {
        json_t *privacy =
            json_pack("{s:f, s:f, s:f}", "clip", p->clip, "noise", p->noise, "delta", p->delta);
        if (p->epsilon_max > 0) {
            (void)json_object_set_new(privacy, "epsilon_max", json_real(p->epsilon_max));
        }
        (void)json_object_set_new(fed, "privacy", privacy);
    }
    if (f->secure) {
        (void)json_object_set_new(fed, "secure", json_true());
    }
}
