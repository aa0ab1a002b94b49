/* SPDX-License-Identifier: Apache-2.0
 *
 * federated.privacy and secure: defaults, one canonical form, and what is refused. */
#include "spec/spec.h"

#include "tst.h"

#include <stdio.h>
#include <string.h>

#define HEAD                                                                                       \
    "api: shoal/v1\nkind: train\nname: n\n"                                                        \
    "data: {train: 'dataset:d', label: y, validation: 0.1}\n"                                      \
    "model: {input: [4], layers: [{dense: 3}]}\n"                                                  \
    "train: {optimizer: {sgd: {lr: 0.1}}, batch: 64, ranks: 16, classes: [a, b, c]}\n"

static struct spec_job job;
static struct spec_errors errors;

static void parse(const char *settings)
{
    char text[2048];
    char line[512] = "";
    (void)snprintf(text, sizeof text, HEAD "federated: {rounds: 10%s}\n", settings);
    if (spec_parse(text, strlen(text), &job, &errors) != SH_OK) {
        (void)spec_error_text(&errors.at[0], "job", line, sizeof line);
        tst_fail(__FILE__, __LINE__, "%s", line);
    }
}

TEST(without_guards_updates_weigh_samples)
{
    parse("");
    EXPECT_EQ(job.federated.rule, SPEC_RULE_MEAN);
    EXPECT_EQ(job.federated.weight, SPEC_WEIGHT_SAMPLES);
    EXPECT(!job.federated.privacy.on && !job.federated.secure);
    EXPECT_EQ(job.federated.least, 2);
}

TEST(a_secure_sum_is_of_three_at_least)
{
    parse(", secure: true");
    EXPECT(job.federated.secure);
    EXPECT_EQ(job.federated.least, 3);
}

TEST(privacy_counts_all_updates_alike)
{
    parse(", secure: true, privacy: {clip: 0.5, noise: 3, epsilon_max: 8}");
    EXPECT(job.federated.privacy.on);
    EXPECT_NEAR(job.federated.privacy.clip, 0.5, 0);
    EXPECT_NEAR(job.federated.privacy.delta, 1e-5, 0);
    EXPECT_EQ(job.federated.weight, SPEC_WEIGHT_EQUAL);
}

static const char *const forms[] = {
    "",
    ", aggregate: {rule: krum, byzantine: 2, norm_bound: 4}, min: 7",
    ", privacy: {clip: 2, noise: 5, delta: 0.001, epsilon_max: 30}",
    ", secure: true, privacy: {clip: 2, noise: 5}",
};

TEST_ROWS(the_canonical_form_is_read_back, forms)
{
    static char first[SH_SPEC_BYTES_MAX];
    static char again[SH_SPEC_BYTES_MAX];
    size_t length = 0;
    parse(forms[tst_row]);
    const struct spec_federated said = job.federated;
    EXPECT_EQ(spec_canonical(&job, first, sizeof first, &length), SH_OK);
    EXPECT_EQ(spec_parse(first, length, &job, &errors), SH_OK);
    EXPECT_EQ(job.federated.rule, said.rule);
    EXPECT_EQ(job.federated.byzantine, said.byzantine);
    EXPECT_EQ(job.federated.weight, said.weight);
    EXPECT_EQ(job.federated.secure, said.secure);
    EXPECT_NEAR(job.federated.privacy.noise, said.privacy.noise, 0);
    EXPECT_NEAR(job.federated.privacy.epsilon_max, said.privacy.epsilon_max, 0);
    EXPECT_EQ(spec_canonical(&job, again, sizeof again, &length), SH_OK);
    EXPECT_STR(again, first);
}

static const struct {
    const char *settings;
    const char *field;
    const char *text;
} refused[] = {
    {", privacy: {clip: 0, noise: 1}", "federated.privacy.clip", "0"},
    {", privacy: {noise: 1}", "federated.privacy.clip", "missing"},
    {", privacy: {clip: 1, noise: 0.001}", "federated.privacy.noise", "0.01"},
    {", privacy: {clip: 1, noise: 1, delta: 1}", "federated.privacy.delta", "1"},
    {", privacy: {clip: 1, noise: 1, epsilon_max: 5}", "federated.privacy",
     "spend epsilon 5 in 1 rounds, and federated.rounds is 10"},
    {", privacy: {clip: 1, noise: 5}, aggregate: {rule: median}, min: 3", "federated.privacy",
     "vote"},
    {", privacy: {clip: 1, noise: 5}, algorithm: scaffold", "federated.privacy", "without noise"},
    {", privacy: {clip: 1, noise: 5}, algorithm: fedbuff", "federated.privacy", "weigh less"},
    {", privacy: {clip: 1, noise: 5}, weight: samples", "federated.weight", "privacy"},
    {", secure: true, aggregate: {rule: median}, min: 3", "federated.secure", "see every update"},
    {", secure: true, algorithm: scaffold", "federated.secure", "not masked"},
    {", secure: true, algorithm: fedbuff", "federated.secure", "another"},
    {", secure: true, short: carry", "federated.short", "one round"},
    {", secure: true, min: 2", "federated.min", "at least 3"},
    {", secure: yes", "federated.secure", "true"},
};

TEST_ROWS(what_does_not_go_together_is_refused_with_the_reason, refused)
{
    char text[2048];
    bool found = false;
    (void)snprintf(text, sizeof text, HEAD "federated: {rounds: 10%s}\n",
                   refused[tst_row].settings);
    EXPECT(spec_parse(text, strlen(text), &job, &errors) != SH_OK);
    for (size_t i = 0; i < errors.count; i++) {
        char line[512] = "";
        (void)spec_error_text(&errors.at[i], "job", line, sizeof line);
        found = found || (strstr(line, refused[tst_row].field) != NULL &&
                          strstr(line, refused[tst_row].text) != NULL);
    }
    if (!found) {
        char line[512] = "";
        (void)spec_error_text(&errors.at[0], "job", line, sizeof line);
        tst_fail(__FILE__, __LINE__, "%s", line);
    }
}
