/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/config.h"

#include "spec/decode.h"
#include "spec/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const KEYS[SPEC_CONFIG_KEYS] = {
    "data",           "secret", "join",         "listen",        "advertise",     "api",
    "api-token",      "name",   "threads",      "zone",          "voters",        "log-entries",
    "allow-commands", "copies", "keep-uploads", "collect-every", "collect-grace", "label",
    "slots",          "hours",  "busy",         "on-mains",      "run-as",        "sandbox-min"};

static char *value_of(struct spec_config *config, const char *key)
{
    size_t i = 0;
    while (strcmp(KEYS[i], key) != 0) {
        i++;
        SH_CHECK_CMP(i, <, SPEC_CONFIG_KEYS);
    }
    return config->values[i];
}

const char *spec_config_value(const struct spec_config *config, const char *key)
{
    size_t i = 0;
    while (strcmp(KEYS[i], key) != 0) {
        i++;
        SH_CHECK_CMP(i, <, SPEC_CONFIG_KEYS);
    }
    return config->values[i];
}

static void append(struct spec_decode *d, const struct spec_node *node, char *value)
{
    size_t used = strlen(value);
    size_t left = SPEC_CONFIG_VALUE_MAX + 1 - used;
    if (node->kind != SPEC_NODE_SCALAR || node->text[0] == '\0') {
        spec_decode_wrong(d, node, "must be text");
    } else if (snprintf(value + used, left, "%s%s", used > 0 ? "," : "", node->text) >= (int)left) {
        spec_decode_wrong(d, node, "must have at most %u characters", SPEC_CONFIG_VALUE_MAX);
    }
}

/* The path that is being decoded is the key. */
static void take_value(struct spec_decode *d, const struct spec_node *node, void *base)
{
    append(d, node, value_of(base, node->key));
}

/* A list, or one value. */
static void take_list(struct spec_decode *d, const struct spec_node *node, void *base)
{
    char *value = value_of(base, node->key);
    if (node->kind != SPEC_NODE_LIST) {
        append(d, node, value);
        return;
    }
    uint32_t index = 0;
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        size_t mark = spec_decode_enter(d, NULL, index);
        append(d, n, value);
        spec_decode_leave(d, mark);
        index++;
    }
}

/* {KEY: VALUE}, a list of KEY=VALUE, or one. */
static void take_labels(struct spec_decode *d, const struct spec_node *node, void *base)
{
    char *value = value_of(base, node->key);
    if (node->kind != SPEC_NODE_MAP) {
        take_list(d, node, base);
        return;
    }
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        char pair[SPEC_CONFIG_VALUE_MAX + 1];
        struct spec_node joined = *n;
        bool plain = n->kind == SPEC_NODE_SCALAR;
        (void)snprintf(pair, sizeof pair, plain && n->text[0] != '\0' ? "%s=%s" : "%s", n->key,
                       plain ? n->text : "");
        joined.text = pair;
        size_t mark = spec_decode_enter(d, n->key, 0);
        append(d, &joined, value);
        spec_decode_leave(d, mark);
    }
}

enum sh_err spec_config_parse(const char *text, size_t size, struct spec_config *config,
                              struct spec_errors *errors)
{
    struct spec_field fields[SPEC_CONFIG_KEYS];
    for (size_t i = 0; i < SPEC_CONFIG_KEYS; i++) {
        bool join = strcmp(KEYS[i], "join") == 0;
        bool label = strcmp(KEYS[i], "label") == 0;
        fields[i] = (struct spec_field){.key = KEYS[i],
                                        .type = SPEC_FIELD_CUSTOM,
                                        .take = join    ? take_list
                                                : label ? take_labels
                                                        : take_value};
    }
    memset(config, 0, sizeof *config);
    errors->count = 0;
    struct spec_tree *tree = spec_tree_open(text, size, errors);
    if (tree == NULL) {
        return SH_ERR_INVALID;
    }
    struct spec_decode d = {.tree = tree, .errors = errors};
    spec_decode_map(&d, &tree->nodes[SPEC_ROOT], fields, SPEC_CONFIG_KEYS, config);
    spec_tree_close(tree);
    return errors->count == 0 ? SH_OK : SH_ERR_INVALID;
}
