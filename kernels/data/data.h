/* SPDX-License-Identifier: Apache-2.0
 *
 * Data sets in memory: one shape for all samples, bytes or floats, a class label or a number per
 * sample. Everything read here is foreign: no byte sequence crashes a loader, every allocation is
 * bounded by the size of what was read, and what is refused is refused with one line in
 * `diag` (may be NULL): the file, the place in it, what is wrong and what would be right. */
#ifndef KN_DATA_DATA_H
#define KN_DATA_DATA_H

#include "kernels/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KN_CLASSES_MAX = 65536,        /* distinct labels */
    KN_CLASS_NAME_BYTES_MAX = 128, /* of one class name, terminator included */
    KN_FEATURES_MAX = 1 << 20,     /* numbers in one sample */
    KN_IMAGE_SIDE_MAX = 16384,     /* pixels */
    KN_IMAGE_PIXELS_MAX = 1 << 26  /* pixels in one picture */
};
#define KN_MELS_MAX      256u   /* filters of a recording's features */
#define KN_FRAMES_MAX    4096u  /* of a recording's features */
#define KN_CONTEXT_MAX   65536u /* tokens of one sample of a text */
#define KN_WINDOW_MS_MAX 1000u  /* of a frame's window, and from frame to frame */
#define KN_DATA_BYTES_MAX                                                                          \
    (UINT64_C(4) << 30) /* of one file, and of one set's samples in memory                         \
                         */
#define KN_DATA_SAMPLES_MAX (UINT32_C(1) << 30)

enum kn_sample { KN_SAMPLE_U8 = 1, KN_SAMPLE_F32 = 2, KN_SAMPLE_TOKEN = 3 };

/* Owned by whoever opened it, until kn_dataset_close. Sample i is `features` numbers from
 * i * features: channel, row, column (CHW). A table's shape is {columns, 1, 1}. Of a text
 * (KN_SAMPLE_TOKEN) the samples are windows of {context, 1, 1} tokens, one behind the other, and
 * each place has the token after it for a label. */
struct kn_dataset {
    uint32_t count;
    uint32_t shape[3]; /* channels, height, width */
    uint32_t features; /* product of shape */
    enum kn_sample kind;
    uint8_t *bytes; /* KN_SAMPLE_U8, else NULL */
    float *numbers; /* KN_SAMPLE_F32, else NULL */
    int32_t
        *label; /* class of each sample, or NULL; a text: its tokens, one more than samples hold */
    float *target; /* the number to predict, or NULL; never with label */
    uint32_t class_count;
    char **class_name; /* class_count strings */
    char **column;     /* names of a table's columns (shape[0] strings), or NULL */
    float scale;       /* of a raw number: 1 / 255 for bytes, 1 for floats */
    float *mean;       /* per channel, after scaling; 0 */
    float *deviation;  /* per channel, > 0; 1 */
    uint32_t rate;     /* of recordings, Hz; else 0 */
    uint32_t places;   /* labels a sample: 1; of a text its context */
    uint32_t given; /* of an unlabelled text: tokens that its one sample has, the rest is filling */
};

enum kn_part { KN_PART_TRAIN = 0, KN_PART_TEST = 1 };
enum kn_header { KN_HEADER_AUTO = 0, KN_HEADER_YES = 1, KN_HEADER_NO = 2 };

/* What names the class of a recording: its file's name up to the first '_' (without ending, where
 * there is none), or the folder it lies in. */
enum kn_audio_label { KN_AUDIO_LABEL_NAME = 0, KN_AUDIO_LABEL_FOLDER = 1 };

/* Log-mel features of recordings (mel.h): each becomes 1 x mels x frames numbers. */
struct kn_audio {
    uint32_t mels;      /* 1 .. KN_MELS_MAX */
    uint32_t frames;    /* 1 .. KN_FRAMES_MAX: what is longer is cut, what is shorter is silence */
    uint32_t window_ms; /* 1 .. KN_WINDOW_MS_MAX */
    uint32_t hop_ms;    /* 1 .. KN_WINDOW_MS_MAX, from frame to frame */
    uint32_t rate;      /* Hz that all files must have; 0: the first one's */
    enum kn_audio_label label;
};

enum kn_tokens { KN_TOKENS_BYTES = 1, KN_TOKENS_CHARACTERS = 2 };

/* A file of text. Classes are its tokens: all 256 bytes, or the characters (of UTF-8) that occur,
 * by rising code point; named by the character, or "0x0a", "U+000A" where that does not print. */
struct kn_text {
    enum kn_tokens tokens;
    uint32_t context; /* 1 .. KN_CONTEXT_MAX: tokens of a sample */
};

/* All zero is a valid choice of options. */
struct kn_open {
    enum kn_part part;     /* MNIST folder: which pair of files */
    enum kn_header header; /* CSV: AUTO takes line 1 for names when a feature of it is no number */
    const char *label;     /* CSV: column of labels; NULL: the last one */
    bool regression;       /* CSV: the label is a number to predict */
    bool unlabelled;       /* no labels are looked for (prediction) */
    const char *const *columns; /* CSV: the features, by name, in this order; NULL: all others */
    uint32_t column_count;
    const char *const *classes; /* names of the classes 0, 1, ...; NULL: what the data names */
    uint32_t class_count;       /* names in classes; without classes: labels must lie below it */
    uint32_t shape[3]; /* not 0: samples must have this shape; pictures are brought to it */
    const struct kn_audio *audio; /* recordings: how they are read; nothing else can be then */
    const struct kn_text *text;   /* a text: how it is read; likewise */
};

/* Opens by what `path` is: builtin:digits, builtin:digits-test; a folder with the four MNIST files
 * (.gz or not), or with one folder of pictures per class; an IDX file of images (its labels beside
 * it: "images" -> "labels", "idx3" -> "idx1" in the name); a CSV file; one PNG, JPEG or PGM picture
 * (without label); unlabelled also a folder of pictures, in the order of their names; a WAV file,
 * or a folder of them or of folders of them, in the order of their names, the folder's own first.
 * Errors, each with text in `diag`: NOT_FOUND (and what was expected), CORRUPT, LIMIT, IO,
 * MEMORY. On error *set is zero and owes nothing. */
KN_MUST_USE enum kn_err kn_dataset_open(struct kn_dataset *set, const char *path,
                                        const struct kn_open *options, struct kn_diag *diag);
/* Frees what it owns and zeroes it; harmless on a zero set. */
void kn_dataset_close(struct kn_dataset *set);

/* Calls `each` with the path of every file that kn_dataset_open would read, in a fixed order; none
 * for a builtin set. Stops, and answers its result, when `each` does not answer KN_OK. */
KN_MUST_USE enum kn_err kn_dataset_files(const char *path, const struct kn_open *options,
                                         enum kn_err (*each)(void *context, const char *file),
                                         void *context, struct kn_diag *diag);

/* The same from memory; `name` is used in `diag` only. The bytes (gzip or not, for IDX) are
 * borrowed for the call. */
KN_MUST_USE enum kn_err kn_idx_decode(struct kn_dataset *set, const uint8_t *images, size_t size,
                                      const char *name, const struct kn_open *options,
                                      struct kn_diag *diag);
/* Gives a set that kn_idx_decode opened its labels; as many as it has images. */
KN_MUST_USE enum kn_err kn_idx_decode_labels(struct kn_dataset *set, const uint8_t *labels,
                                             size_t size, const char *name,
                                             const struct kn_open *options, struct kn_diag *diag);
KN_MUST_USE enum kn_err kn_csv_decode(struct kn_dataset *set, const uint8_t *text, size_t size,
                                      const char *name, const struct kn_open *options,
                                      struct kn_diag *diag);

/* A set of pictures, one at a time into a zero set: decoded, brought to options->shape (not 0: else
 * all must have the first one's shape) and labelled with the class of that name (unlabelled:
 * ignored). Classes that options does not name are numbered as they come: add in order of names.
 * On error the set holds what was added before. */
KN_MUST_USE enum kn_err kn_pictures_add(struct kn_dataset *set, const char *class_name,
                                        const uint8_t *bytes, size_t size, const char *name,
                                        const struct kn_open *options, struct kn_diag *diag);

/* A set of one WAV file as options->audio says, without label. */
KN_MUST_USE enum kn_err kn_recording_decode(struct kn_dataset *set, const uint8_t *bytes,
                                            size_t size, const char *name,
                                            const struct kn_open *options, struct kn_diag *diag);

/* A text as options->text says. Tokens after the last whole window are left out. Unlabelled: one
 * sample, of the last `context` tokens, or of all from its first place on, filled up with token 0.
 * CORRUPT: no UTF-8, shorter than a window and its next token, or a character that is none of the
 * options' classes; the place is named. */
KN_MUST_USE enum kn_err kn_text_decode(struct kn_dataset *set, const uint8_t *bytes, size_t size,
                                       const char *name, const struct kn_open *options,
                                       struct kn_diag *diag);

/* Sets mean and deviation to those of the n samples listed (NULL: the first n), per channel, after
 * scaling (tokens stay as they are); a channel that never varies gets deviation 1. Fixed order:
 * same inputs, same bits. */
void kn_dataset_measure(struct kn_dataset *set, const uint32_t *index, uint32_t n);
/* Replaces scale, mean and deviation, by a model's: count is shape[0], or 1 for all channels.
 * INVALID: another count, a number that is not finite, a deviation that is not > 0. */
KN_MUST_USE enum kn_err kn_dataset_normalise(struct kn_dataset *set, float scale, const float *mean,
                                             const float *deviation, uint32_t count);

/* The class of a labelled sample; of a text the token after its window. */
int32_t kn_dataset_truth(const struct kn_dataset *set, uint32_t index);

/* Batch of n samples by index (each < count): x[s][c][h][w] = (raw * scale - mean[c]) /
 * deviation[c]; of a text, the tokens. label receives n * places, target n entries; NULL where not
 * wanted;
 * they must be NULL where the set has none. No allocation; same inputs, same bits. */
void kn_dataset_gather(const struct kn_dataset *set, const uint32_t *index, uint32_t n, float *x,
                       int32_t *label, float *target);

#endif
