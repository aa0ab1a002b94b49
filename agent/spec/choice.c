/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/schema.h"

#include <stdio.h>
#include <string.h>

const struct spec_choice SPEC_KINDS[] = {{"train", SPEC_TRAIN},         {"exec", SPEC_EXEC},
                                         {"fine-tune", SPEC_FINE_TUNE}, {"evaluate", SPEC_EVALUATE},
                                         {"predict", SPEC_PREDICT},     {"ensemble", SPEC_ENSEMBLE},
                                         {"data-prep", SPEC_DATA_PREP}, {"rl", SPEC_RL},
                                         {"noop", SPEC_NOOP},           {NULL, 0}};

const struct spec_choice SPEC_EXTRACTS[] = {{"keras", SPEC_EXTRACT_KERAS},
                                            {"sofe4790u", SPEC_EXTRACT_SOFE},
                                            {"mlagents", SPEC_EXTRACT_MLAGENTS},
                                            {"conductor", SPEC_EXTRACT_CONDUCTOR},
                                            {NULL, 0}};

const struct spec_choice SPEC_SANDBOXES[] = {{"none", SPEC_SANDBOX_NONE},
                                             {"basic", SPEC_SANDBOX_BASIC},
                                             {"strict", SPEC_SANDBOX_STRICT},
                                             {NULL, 0}};

const struct spec_choice SPEC_SPREADS[] = {
    {"auto", SPEC_SPREAD_AUTO}, {"spread", SPEC_SPREAD_OUT}, {"pack", SPEC_SPREAD_PACK}, {NULL, 0}};
const struct spec_choice SPEC_BUCKETINGS[] = {
    {"generic", SPEC_BUCKETING_GENERIC}, {"cargo2000", SPEC_BUCKETING_CARGO2000}, {NULL, 0}};

const struct spec_choice SPEC_COMPATS[] = {
    {"fixed", SPEC_COMPAT_FIXED}, {"conductor", SPEC_COMPAT_CONDUCTOR}, {NULL, 0}};

const struct spec_choice SPEC_LAYER_KINDS[] = {
    {"conv2d", SPEC_CONV2D},       {"maxpool", SPEC_MAXPOOL},
    {"avgpool", SPEC_AVGPOOL},     {"relu", SPEC_RELU},
    {"gelu", SPEC_GELU},           {"batchnorm", SPEC_BATCHNORM},
    {"dropout", SPEC_DROPOUT},     {"flatten", SPEC_FLATTEN},
    {"dense", SPEC_DENSE},         {"add", SPEC_ADD},
    {"embedding", SPEC_EMBEDDING}, {"positions", SPEC_POSITIONS},
    {"layernorm", SPEC_LAYERNORM}, {"attention", SPEC_ATTENTION},
    {"residual", SPEC_RESIDUAL},   {NULL, 0}};

const struct spec_choice SPEC_LOSSES[] = {
    {"cross_entropy", SPEC_CROSS_ENTROPY}, {"mse", SPEC_MSE}, {NULL, 0}};

const struct spec_choice SPEC_NORMALIZES[] = {{"standard", SPEC_NORMALIZE_STANDARD},
                                              {"none", SPEC_NORMALIZE_NONE},
                                              {"inherit", SPEC_NORMALIZE_INHERIT},
                                              {NULL, 0}};

const struct spec_choice SPEC_AUDIO_LABELS[] = {
    {"name", SPEC_AUDIO_LABEL_NAME}, {"folder", SPEC_AUDIO_LABEL_FOLDER}, {NULL, 0}};

const struct spec_choice SPEC_TOKENS[] = {
    {"bytes", SPEC_TOKENS_BYTES}, {"characters", SPEC_TOKENS_CHARACTERS}, {NULL, 0}};

const struct spec_choice SPEC_ARITHMETICS[] = {
    {"same", SPEC_ARITHMETIC_SAME}, {"any", SPEC_ARITHMETIC_ANY}, {NULL, 0}};

const struct spec_choice SPEC_OPTIMIZERS[] = {{"sgd", SPEC_SGD}, {"adamw", SPEC_ADAMW}, {NULL, 0}};

const struct spec_choice SPEC_WIRES[] = {{"f32", KN_CODEC_F32},
                                         {"bf16", KN_CODEC_BF16},
                                         {"int8", KN_CODEC_INT8},
                                         {"topk", KN_CODEC_TOPK},
                                         {NULL, 0}};

const struct spec_choice SPEC_SCHEDULES[] = {{"constant", SPEC_CONSTANT},
                                             {"linear", SPEC_LINEAR},
                                             {"cosine", SPEC_COSINE},
                                             {"step", SPEC_STEP},
                                             {NULL, 0}};

const char *spec_choice_name(const struct spec_choice *choices, int value)
{
    while (choices->name != NULL && choices->value != value) {
        choices++;
    }
    SH_CHECK(choices->name != NULL);
    return choices->name;
}

void spec_choice_list(const struct spec_choice *choices, char out[static SPEC_CHOICE_LIST_BYTES])
{
    size_t used = 0;
    for (; choices->name != NULL; choices++) {
        int n = snprintf(out + used, SPEC_CHOICE_LIST_BYTES - used, "%s%s", used > 0 ? ", " : "",
                         choices->name);
        SH_CHECK(n > 0 && used + (size_t)n < SPEC_CHOICE_LIST_BYTES);
        used += (size_t)n;
    }
}

const struct spec_choice *spec_choice_find(const struct spec_choice *choices, const char *name)
{
    while (choices->name != NULL && strcmp(choices->name, name) != 0) {
        choices++;
    }
    return choices->name != NULL ? choices : NULL;
}

const char *spec_kind_name(enum spec_kind kind)
{
    return spec_choice_name(SPEC_KINDS, (int)kind);
}

const char *spec_layer_kind_name(enum spec_layer_kind kind)
{
    return spec_choice_name(SPEC_LAYER_KINDS, (int)kind);
}

#define CHOICES_MAX 16u

static const struct spec_choice *find_or_note(struct spec_decode *d, const struct spec_node *node,
                                              const char *word, const struct spec_choice *choices,
                                              const char *what)
{
    const struct spec_choice *found = spec_choice_find(choices, word);
    if (found == NULL) {
        const char *names[CHOICES_MAX];
        size_t count = 0;
        for (; choices[count].name != NULL; count++) {
            SH_CHECK_CMP(count, <, CHOICES_MAX);
            names[count] = choices[count].name;
        }
        spec_decode_unknown(d, node, names, count, what);
    }
    return found;
}

const struct spec_choice *spec_take_word(struct spec_decode *d, const struct spec_node *node,
                                         const struct spec_choice *choices, const char *what,
                                         const char *extra, const struct spec_node **params)
{
    *params = NULL;
    if (node->kind == SPEC_NODE_SCALAR) {
        /* Without its key, so that the word is named and not the key it is the value of. */
        struct spec_node bare = *node;
        bare.key = NULL;
        return find_or_note(d, &bare, node->text, choices, what);
    }
    const struct spec_node *word = NULL;
    const struct spec_node *n = node->kind == SPEC_NODE_MAP ? spec_tree_first(d->tree, node) : NULL;
    for (; n != NULL; n = spec_tree_next(d->tree, n)) {
        if (extra != NULL && strcmp(n->key, extra) == 0) {
            continue;
        }
        if (word != NULL) {
            spec_note(d->errors, n->key_at, d->path, n->key,
                      "one %s at a time; %s stands here already", what, word->key);
            return NULL;
        }
        word = n;
    }
    if (word == NULL) {
        spec_decode_wrong(d, node, "must be a %s, such as %s", what, choices[0].name);
        return NULL;
    }
    *params = word;
    return find_or_note(d, word, word->key, choices, what);
}
