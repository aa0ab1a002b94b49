/* SPDX-License-Identifier: Apache-2.0
 *
 * The built-in reinforcement learning, one process a call, as machines would share it:
 *
 *   rl train SEED FROM ITERATIONS TO    goes on from the state in file FROM ("-": fresh) for so
 * many iterations; the state goes to file TO ("-": nowhere). Prints "episode N RETURN LENGTH HASH
 * POLICY ACTIONS" for each episode and "summary STEPS EPISODES MEAN STD" after every 50 iterations
 *   rl replay SEED FROM N POLICY        plays episode N again: "episode N RETURN LENGTH HASH"
 *   rl actions SEED N ACTIONS           the same from what was done
 *   rl evaluate SEED FROM EPISODES      "evaluation RIGHT WRONG LATE MEAN STD HASH", greedily
 *
 * Returns are in millionths, hashes in hexadecimal, means as "%a". Exit status 1 and one line on
 * stderr where something is refused. */
#include "kernels/rl/trainer.h"

#include "kernels/score/number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUMMARY_EVERY = 50, STATE_BYTES_MAX = 1 << 22, USAGE = 2 };

static uint8_t bytes[STATE_BYTES_MAX];

static int refuse(const struct kn_diag *diag)
{
    fprintf(stderr, "%s\n", diag->text);
    return 1;
}

static uint64_t whole(const char *text)
{
    int64_t value = 0;
    KN_CHECK(kn_integer_parse(text, strlen(text), 0, INT64_MAX, &value));
    return (uint64_t)value;
}

static enum kn_err open_trainer(struct kn_rl **t, const char *seed, const char *from,
                                struct kn_diag *diag)
{
    struct kn_rl_config config = kn_rl_default();
    config.seed = whole(seed);
    if (strcmp(from, "-") == 0) {
        return kn_rl_open(t, &config, diag);
    }
    FILE *file = fopen(from, "rb");
    KN_CHECK(file != NULL);
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    KN_CHECK(fclose(file) == 0);
    return kn_rl_decode(t, bytes, size, diag);
}

static void save(const struct kn_rl *t, const char *to)
{
    const size_t size = kn_rl_state_size(t);
    FILE *file = fopen(to, "wb");
    KN_CHECK(file != NULL);
    KN_CHECK(size <= sizeof bytes);
    kn_rl_encode(t, bytes);
    KN_CHECK(fwrite(bytes, 1, size, file) == size);
    KN_CHECK(fclose(file) == 0);
}

static void print_episode(const struct kn_episode *e)
{
    printf("episode %" PRIu64 " %" PRId64 " %" PRIu32 " %016" PRIx64, e->number, e->return_micro,
           e->length, e->hash);
}

static void on_episode(void *context, const struct kn_rl_episode *e)
{
    (void)context;
    print_episode(&e->result);
    printf(" %016" PRIx64 " ", e->policy_hash);
    for (uint32_t i = 0; i < e->result.length; i++) {
        putchar('0' + e->actions[i]);
    }
    putchar('\n');
}

static int train(const char *seed, const char *from, uint64_t iterations, const char *to)
{
    const struct kn_rl_events events = {.episode = on_episode};
    struct kn_rl *t;
    struct kn_diag diag;
    enum kn_err err = open_trainer(&t, seed, from, &diag);
    for (uint64_t i = 0; i < iterations && err == KN_OK; i++) {
        err = kn_rl_iterate(t, &events, &diag);
        if (err == KN_OK && kn_rl_iterations(t) % SUMMARY_EVERY == 0) {
            struct kn_rl_summary s;
            kn_rl_summary_take(t, &s);
            printf("summary %" PRIu64 " %" PRIu64 " %a %a\n", s.steps, s.episodes, s.mean_reward,
                   s.std_reward);
        }
    }
    if (err == KN_OK && strcmp(to, "-") != 0) {
        save(t, to);
    }
    kn_rl_close(t);
    return err == KN_OK ? 0 : refuse(&diag);
}

static int replay(const char *seed, const char *from, uint64_t number, const char *policy)
{
    struct kn_rl *t;
    struct kn_diag diag;
    struct kn_episode e;
    uint64_t hash = 0;
    KN_CHECK(sscanf(policy, "%16" SCNx64, &hash) == 1);
    enum kn_err err = open_trainer(&t, seed, from, &diag);
    if (err == KN_OK) {
        err = kn_rl_replay(t, number, hash, NULL, &e, &diag);
    }
    kn_rl_close(t);
    if (err != KN_OK) {
        return refuse(&diag);
    }
    print_episode(&e);
    putchar('\n');
    return 0;
}

static int replay_actions(const char *seed, uint64_t number, const char *text)
{
    static uint8_t actions[KN_HALLWAY_STEPS_MAX];
    const size_t length = strlen(text);
    const struct kn_course course = {
        .config = kn_hallway_default(), .seed = whole(seed), .use = KN_HALLWAY_TRAIN};
    struct kn_episode e;
    struct kn_diag diag;
    KN_CHECK(length <= sizeof actions);
    for (size_t i = 0; i < length; i++) {
        actions[i] = (uint8_t)(text[i] - '0');
    }
    if (kn_episode_replay(&course, number, actions, (uint32_t)length, NULL, &e, &diag) != KN_OK) {
        return refuse(&diag);
    }
    print_episode(&e);
    putchar('\n');
    return 0;
}

static int evaluate(const char *seed, const char *from, uint64_t episodes)
{
    struct kn_rl *t;
    struct kn_diag diag;
    struct kn_evaluation e;
    if (open_trainer(&t, seed, from, &diag) != KN_OK) {
        return refuse(&diag);
    }
    const struct kn_course course = {.config = kn_rl_config(t)->env, .seed = whole(seed)};
    kn_evaluate(&course, kn_rl_policy(t), KN_CHOICE_GREEDY, episodes, &e);
    printf("evaluation %" PRIu64 " %" PRIu64 " %" PRIu64 " %a %a %016" PRIx64 "\n", e.right,
           e.wrong, e.late, e.mean_return, e.std_return, e.hash);
    kn_rl_close(t);
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    if (argc == 6 && strcmp(verb, "train") == 0) {
        return train(argv[2], argv[3], whole(argv[4]), argv[5]);
    }
    if (argc == 6 && strcmp(verb, "replay") == 0) {
        return replay(argv[2], argv[3], whole(argv[4]), argv[5]);
    }
    if (argc == 5 && strcmp(verb, "actions") == 0) {
        return replay_actions(argv[2], whole(argv[3]), argv[4]);
    }
    if (argc == 5 && strcmp(verb, "evaluate") == 0) {
        return evaluate(argv[2], argv[3], whole(argv[4]));
    }
    fprintf(stderr, "usage: rl train|replay|actions|evaluate ...\n");
    return USAGE;
}
