/* SPDX-License-Identifier: Apache-2.0
 *
 * What the lines of a command say: metric points, progress, checkpoints, predictions, and that it
 * had better be aborted. A capture knows the lines before only by the epoch they named; nothing
 * here touches the world.
 *
 *   stdout   SHOAL {"step":12,"loss":0.3}       fd 3   {"step":12,"loss":0.3}
 *
 * Members of such an object: "step" (an integer from 0), "progress" ({"done":3,"total":10}),
 * "checkpoint" (a path), "prediction" (a number), "ready" (true); every other number is a metric
 * of that name; strings, lists, objects, true, false and null of other names are left alone.
 *
 * On stdout and stderr also, as the presets say, what well-known programs print anyway:
 *
 *   keras      Epoch 3/10 | 469/469 [===] - 5s 10ms/step - loss: 0.12 - val_loss: 0.34
 *   sofe4790u  Epoch [1/10], Train Loss: 0.5, Train Accuracy: 85.3%, Epoch Time: 1.5 seconds
 *   mlagents   [INFO] Agent. Step: 1000. Time Elapsed: 9.8 s. Mean Reward: 0.5. Std of Reward: 0.1.
 *   conductor  PredictedBuffer=-1.5e-3 (also PredictedValue=, and integers)
 *
 * and what patterns of the job file find. */
#ifndef EXEC_CAPTURE_H
#define EXEC_CAPTURE_H

#include "exec/pattern.h"
#include "exec/process.h"

#define EXEC_MATCH_BYTES_MAX 4096u /* of a line that patterns with operators look at */
#define EXEC_FACTS_MAX       64u   /* of one line; further ones are dropped */
#define EXEC_PATH_BYTES      1024u /* of a checkpoint, with its NUL */
#define EXEC_NESTING_MAX     16u   /* levels of an object that is left alone */

enum exec_preset {
    EXEC_PRESET_KERAS = 1,
    EXEC_PRESET_SOFE = 2,
    EXEC_PRESET_MLAGENTS = 4,
    EXEC_PRESET_CONDUCTOR = 8,
    EXEC_PRESET_ALL = 15
};
/* "keras", "sofe4790u", "mlagents", "conductor", "all". */
SH_MUST_USE enum sh_err exec_preset_parse(const char *name, unsigned *out);

enum exec_fact_kind {
    EXEC_FACT_METRIC,
    EXEC_FACT_PROGRESS,
    EXEC_FACT_CHECKPOINT,
    EXEC_FACT_PREDICTION,
    EXEC_FACT_READY
};

struct exec_fact {
    enum exec_fact_kind kind;
    bool stepped; /* METRIC, CHECKPOINT: the line, or an epoch before it, says which step */
    uint64_t step;
    double value;               /* METRIC, PREDICTION: finite. PROGRESS: done, 0 to total */
    double total;               /* PROGRESS: above 0 */
    char name[EXEC_NAME_BYTES]; /* METRIC */
};

struct exec_facts { /* of one line */
    struct exec_fact at[EXEC_FACTS_MAX];
    size_t count;
    char checkpoint[EXEC_PATH_BYTES]; /* of the CHECKPOINT among them: the last one */
    uint32_t dropped;                 /* too many, or a name or path too long */
    uint32_t not_finite;              /* numbers that are NaN or infinite: told, never stored */
    bool malformed;      /* meant to be an object, and is none: nothing was taken from it */
    const char *aborted; /* text of the ABORT pattern that it matches, or NULL */
};

struct exec_capture;

/* INVALID, LIMIT: as exec_pattern_compile, and too many; then why (size bytes) names the pattern.
 * NO_MEMORY. */
SH_MUST_USE enum sh_err exec_capture_open(struct exec_capture **out,
                                          const struct exec_pattern *patterns, size_t count,
                                          unsigned presets, char *why, size_t size);
/* A line as the hook of exec/process.h gets it. A REDRAW tells progress only: its numbers are not
 * final. O(size), and O(EXEC_MATCH_BYTES_MAX x EXEC_STEPS_MAX) for the patterns. */
void exec_capture_line(struct exec_capture *capture, enum exec_channel channel, unsigned flags,
                       const char *text, size_t size, struct exec_facts *out);
void exec_capture_close(struct exec_capture *capture);

#endif
