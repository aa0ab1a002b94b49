/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines that programs print who never heard of shoal. Each reader asks for enough of its program's
 * form that an ordinary log line is not taken for one. */
#include "exec/facts.h"

#include <string.h>

/* "Train Loss" -> "train_loss"; answers the size, 0 where it is no name. */
static size_t plain_name(const char *from, size_t size, const char *suffix,
                         char out[EXEC_NAME_BYTES])
{
    const size_t more = strlen(suffix);
    if (size == 0 || size + more >= EXEC_NAME_BYTES) {
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        const char c = from[i];
        const bool upper = c >= 'A' && c <= 'Z';
        const bool kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        if (!upper && !kept && c != ' ' && c != '-' && c != '/') {
            return 0;
        }
        out[i] = upper ? (char)(c + 32) : kept ? c : '_';
    }
    memcpy(out + size, suffix, more);
    return size + more;
}

static void set_epoch(struct exec_place *place, uint64_t epoch, uint64_t epochs)
{
    *place = (struct exec_place){.known = true, .epoch = epoch, .epochs = epochs};
}

static bool ratio(struct exec_text *t, uint64_t *part, uint64_t *whole)
{
    return exec_text_u64(t, part) && exec_text_take(t, "/") && exec_text_u64(t, whole) &&
           *whole > 0 && *part <= *whole;
}

/* Epoch 3/10: the epochs before it are done. */
static bool keras_epoch(struct exec_text t, struct exec_place *place, struct exec_facts *out)
{
    uint64_t epoch;
    uint64_t epochs;
    if (!exec_text_take(&t, "Epoch ") || !ratio(&t, &epoch, &epochs) || epoch == 0) {
        return false;
    }
    set_epoch(place, epoch, epochs);
    exec_facts_progress(out, (double)(epoch - 1), (double)epochs);
    return true;
}

/* Segments "name: number", separated by " - ". Keras never prints them without a loss. */
static bool has_loss(struct exec_text t)
{
    struct exec_text first = t;
    if (exec_text_take(&first, "loss: ") || exec_text_take(&first, "val_loss: ")) {
        return true;
    }
    return exec_text_find(&t, " - loss: ") || exec_text_find(&first, " - val_loss: ");
}

static void keras_segment(struct exec_text t, const struct exec_place *place,
                          struct exec_facts *out)
{
    char name[EXEC_NAME_BYTES];
    double value;
    const char *colon = memchr(t.at, ':', t.size);
    if (colon == NULL) {
        return;
    }
    const size_t size = (size_t)(colon - t.at);
    struct exec_text rest = {.at = colon + 1, .size = t.size - size - 1};
    /* "ETA: 5s" is no number, what follows one is none of Keras' either. */
    if (exec_text_take(&rest, " ") && exec_text_number(&rest, &value) &&
        (rest.size == 0 || rest.at[0] == ' ')) {
        const size_t used = plain_name(t.at, size, "", name);
        exec_facts_metric(out, name, used, value, place);
    }
}

static void keras_metrics(struct exec_text t, bool redraw, struct exec_place *place,
                          struct exec_facts *out)
{
    uint64_t batch;
    uint64_t batches;
    if (!has_loss(t)) {
        return;
    }
    struct exec_text front = t;
    while (front.size > 0 && front.at[0] == ' ') {
        (void)exec_text_take(&front, " ");
    }
    const bool counted = ratio(&front, &batch, &batches);
    if (counted && place->epochs > 0 && place->epoch > 0) {
        const double part = (double)batch / (double)batches;
        exec_facts_progress(out, (double)(place->epoch - 1) + part, (double)place->epochs);
    }
    while (!redraw && t.size > 0) {
        struct exec_text after = t;
        struct exec_text segment = t;
        if (exec_text_find(&after, " - ")) {
            segment.size = t.size - after.size - 3;
        } else {
            after.size = 0;
        }
        keras_segment(segment, place, out);
        t = after;
    }
}

/* Epoch [1/10], Train Loss: 0.5, Train Accuracy: 85.3%, Epoch Time: 1.5 seconds */
static bool sofe(struct exec_text t, struct exec_place *place, struct exec_facts *out)
{
    uint64_t epoch;
    uint64_t epochs;
    if (!exec_text_take(&t, "Epoch [") || !ratio(&t, &epoch, &epochs) || !exec_text_take(&t, "]")) {
        return false;
    }
    set_epoch(place, epoch, epochs);
    exec_facts_progress(out, (double)epoch, (double)epochs);
    while (exec_text_take(&t, ", ")) {
        char name[EXEC_NAME_BYTES];
        double value;
        const char *from = t.at;
        if (!exec_text_find(&t, ": ")) {
            break;
        }
        const size_t size = (size_t)(t.at - from) - 2;
        if (!exec_text_number(&t, &value)) {
            break;
        }
        (void)exec_text_take(&t, "%");
        const bool seconds = exec_text_take(&t, " seconds");
        const size_t used = plain_name(from, size, seconds ? "_seconds" : "", name);
        exec_facts_metric(out, name, used, value, place);
    }
    return true;
}

/* [INFO] Agent. Step: 1000. Time Elapsed: 9.8 s. Mean Reward: 0.5. Std of Reward: 0.1. Training. */
static bool mlagents(struct exec_text t, struct exec_facts *out)
{
    static const char *const BEFORE[] = {
        ". Step: ", "Time Elapsed: ", "Mean Reward: ", "Std of Reward: "};
    static const char *const NAMES[] = {"step", "time_elapsed", "mean_reward", "std_reward"};
    double values[SH_COUNT(BEFORE)];
    if (!exec_text_find(&t, "[INFO] ")) {
        return false;
    }
    for (size_t i = 0; i < SH_COUNT(BEFORE); i++) {
        if (!exec_text_find(&t, BEFORE[i]) || !exec_text_number(&t, &values[i])) {
            return false;
        }
    }
    if (!(values[0] >= 0 && values[0] <= 1e15)) {
        return false;
    }
    const struct exec_place place = {.known = true, .epoch = (uint64_t)values[0]};
    for (size_t i = 1; i < SH_COUNT(BEFORE); i++) {
        exec_facts_metric(out, NAMES[i], strlen(NAMES[i]), values[i], &place);
    }
    return true;
}

static void conductor(struct exec_text t, struct exec_facts *out)
{
    struct exec_text again = t;
    double value;
    if ((exec_text_find(&t, "PredictedBuffer=") && exec_text_number(&t, &value)) ||
        (exec_text_find(&again, "PredictedValue=") && exec_text_number(&again, &value))) {
        exec_facts_prediction(out, value);
    }
}

void exec_programs_read(struct exec_text text, unsigned presets, bool redraw,
                        struct exec_place *place, struct exec_facts *out)
{
    if ((presets & EXEC_PRESET_SOFE) != 0 && sofe(text, place, out)) {
        return;
    }
    if ((presets & EXEC_PRESET_MLAGENTS) != 0 && mlagents(text, out)) {
        return;
    }
    /* Conductor's scripts are Keras scripts: it reads their epochs, and nothing else of them. */
    if ((presets & (EXEC_PRESET_KERAS | EXEC_PRESET_CONDUCTOR)) != 0 &&
        keras_epoch(text, place, out)) {
        return;
    }
    if ((presets & EXEC_PRESET_KERAS) != 0) {
        keras_metrics(text, redraw, place, out);
    }
    if ((presets & EXEC_PRESET_CONDUCTOR) != 0 && !redraw) {
        conductor(text, out);
    }
}
