/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/parse.h"

#include <stdlib.h>
#include <string.h>

const struct cli_option CLI_COMMON[CLI_COMMON_OPTIONS] = {
    {"--json", 0, NULL, "print JSON"},
    {"--help", 'h', NULL, "print this"},
    {"--peer", 0, "ADDR", "HOST:PORT of an agent's HTTP interface; may be repeated ($SHOAL_PEER)"},
    {"--token-file", 0, "FILE", "token for it ($SHOAL_TOKEN_FILE)"},
    {"--stale", 0, NULL, "read what that agent has, though it be old; works without a quorum"},
};

size_t cli_common_count(const struct cli_verb *verb)
{
    return verb->peer ? CLI_COMMON_OPTIONS : 2;
}

/* How many words name the verb: 0 when the first ones do not. */
static size_t verb_words(const struct cli_verb *verb, char **words, size_t count)
{
    const char *space = strchr(verb->name, ' ');
    size_t first = space != NULL ? (size_t)(space - verb->name) : strlen(verb->name);
    if (count < 1 || strlen(words[0]) != first || strncmp(words[0], verb->name, first) != 0) {
        return 0;
    }
    if (space == NULL) {
        return 1;
    }
    return count >= 2 && strcmp(words[1], space + 1) == 0 ? 2 : 0;
}

const struct cli_verb *cli_find_verb(char **words, size_t count, size_t *used)
{
    for (size_t i = 0; i < CLI_VERB_COUNT; i++) {
        *used = verb_words(&CLI_VERBS[i], words, count);
        if (*used > 0) {
            return &CLI_VERBS[i];
        }
    }
    return NULL;
}

static const struct cli_option *match(const struct cli_option *options, size_t count,
                                      const char *word, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        const struct cli_option *o = &options[i];
        bool letter = size == 2 && o->letter != 0 && word[1] == o->letter;
        if (letter || (strlen(o->name) == size && strncmp(o->name, word, size) == 0)) {
            return o;
        }
    }
    return NULL;
}

static const struct cli_option *find_option(const struct cli_verb *verb, const char *word)
{
    size_t size = strcspn(word, "=");
    const struct cli_option *o = match(verb->options, verb->option_count, word, size);
    return o != NULL ? o : match(CLI_COMMON, cli_common_count(verb), word, size);
}

/* Takes the option at words[*at] and its value; CLI_OK or CLI_USAGE. */
static int take_option(struct cli *c, char **words, size_t count, size_t *at)
{
    const char *word = words[*at];
    const struct cli_option *o = find_option(c->verb, word);
    const char *equals = strchr(word, '=');
    if (o == NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: unknown option %s; see shoal %s --help",
                        c->verb->name, word, c->verb->name);
    }
    if (c->given_count == CLI_GIVEN_MAX) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: too many options", c->verb->name);
    }
    const char *value = NULL;
    if (o->value == NULL && equals != NULL) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: %s takes no value", c->verb->name, o->name);
    }
    if (o->value != NULL && equals != NULL) {
        value = equals + 1;
    } else if (o->value != NULL) {
        if (*at + 1 == count) {
            return cli_fail(c, CLI_USAGE, "USAGE", "%s: %s needs a value: %s", c->verb->name,
                            o->name, o->value);
        }
        value = words[++*at];
    }
    c->given[c->given_count++] = (struct cli_given){.option = o, .value = value};
    return CLI_OK;
}

static int check_count(struct cli *c)
{
    if (cli_flag(c, "--help")) {
        return CLI_OK;
    }
    if (c->arg_count < c->verb->args_min) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: needs %s; see shoal %s --help", c->verb->name,
                        c->verb->args, c->verb->name);
    }
    if (c->arg_count > c->verb->args_max) {
        return cli_fail(c, CLI_USAGE, "USAGE", "%s: one argument too many: %s", c->verb->name,
                        c->args[c->verb->args_max]);
    }
    return CLI_OK;
}

int cli_parse(struct cli *c, char **words, size_t count)
{
    bool options = true;
    for (size_t i = 0; i < count; i++) {
        const char *word = words[i];
        if (options && strcmp(word, "--") == 0) {
            options = false;
        } else if (options && word[0] == '-' && word[1] != '\0') {
            int status = take_option(c, words, count, &i);
            if (status != CLI_OK) {
                return status;
            }
        } else if (c->arg_count == CLI_ARGS_MAX) {
            return cli_fail(c, CLI_USAGE, "USAGE", "%s: too many arguments", c->verb->name);
        } else {
            c->args[c->arg_count++] = word;
        }
    }
    c->json = cli_flag(c, "--json");
    return check_count(c);
}

const char *cli_value(const struct cli *c, const char *name)
{
    for (size_t i = c->given_count; i > 0; i--) {
        if (strcmp(c->given[i - 1].option->name, name) == 0) {
            return c->given[i - 1].value;
        }
    }
    return NULL;
}

bool cli_flag(const struct cli *c, const char *name)
{
    for (size_t i = 0; i < c->given_count; i++) {
        if (strcmp(c->given[i].option->name, name) == 0) {
            return true;
        }
    }
    return false;
}

bool cli_number(struct cli *c, const char *name, uint64_t low, uint64_t high, uint64_t fallback,
                uint64_t *out)
{
    const char *text = cli_value(c, name);
    *out = fallback;
    if (text == NULL) {
        return true;
    }
    size_t digits = strspn(text, "0123456789");
    *out = strtoull(text, NULL, 10);
    if (digits == 0 || digits > 18 || text[digits] != '\0' || *out < low || *out > high) {
        (void)cli_fail(c, CLI_USAGE, "USAGE", "%s: %s must be a whole number from %llu to %llu",
                       c->verb->name, name, (unsigned long long)low, (unsigned long long)high);
        return false;
    }
    return true;
}
