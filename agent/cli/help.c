/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/parse.h"

#include <string.h>

static void print_options(FILE *out, const struct cli_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct cli_option *o = &options[i];
        char name[64];
        char letter[8] = "";
        if (o->letter != 0) {
            (void)snprintf(letter, sizeof letter, "-%c, ", o->letter);
        }
        (void)snprintf(name, sizeof name, "%s%s%s%s", letter, o->name, o->value != NULL ? " " : "",
                       o->value != NULL ? o->value : "");
        (void)fprintf(out, "  %-26s %s\n", name, o->help);
    }
}

void cli_print_help(FILE *out, const struct cli_verb *verb)
{
    (void)fprintf(out, "usage: shoal %s%s%s [options]\n\n%s\n\noptions:\n", verb->name,
                  verb->args[0] != '\0' ? " " : "", verb->args, verb->summary);
    print_options(out, verb->options, verb->option_count);
    print_options(out, CLI_COMMON, cli_common_count(verb));
    (void)fprintf(out, "\nexit status: 0 ok, 1 internal or a local file, 2 usage, 3 not found,"
                       " 4 conflict, 5 denied,\n6 unreachable or no quorum, 7 timeout, 8 invalid,"
                       " 10 the job failed, 11 it was stopped\n");
}

void cli_print_verbs(FILE *out)
{
    (void)fprintf(out, "usage: shoal VERB [arguments] [options]\n\n");
    for (size_t i = 0; i < CLI_VERB_COUNT; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s %s", CLI_VERBS[i].name, CLI_VERBS[i].args);
        (void)fprintf(out, "  %-27s %s\n", name, CLI_VERBS[i].summary);
    }
    (void)fprintf(out, "\nshoal VERB --help tells the options of one.\n");
}

/* The verb that the arguments name; NULL with the error printed. */
static const struct cli_verb *named_verb(struct cli *c)
{
    char words[2][64] = {"", ""};
    char *pointers[2] = {words[0], words[1]};
    for (size_t i = 0; i < c->arg_count; i++) {
        (void)snprintf(words[i], sizeof words[i], "%s", c->args[i]);
    }
    size_t used = 0;
    const struct cli_verb *verb = cli_find_verb(pointers, c->arg_count, &used);
    if (verb == NULL) {
        (void)cli_fail(c, CLI_USAGE, "USAGE", "unknown verb %s%s%s; shoal help lists them all",
                       words[0], c->arg_count > 1 ? " " : "", words[1]);
    }
    return verb;
}

int cli_run_help(struct cli *c)
{
    if (c->arg_count == 0) {
        cli_print_verbs(c->out);
        return CLI_OK;
    }
    const struct cli_verb *verb = named_verb(c);
    if (verb == NULL) {
        return CLI_USAGE;
    }
    cli_print_help(c->out, verb);
    return CLI_OK;
}

int cli_run_complete(struct cli *c)
{
    if (c->arg_count == 0) {
        for (size_t i = 0; i < CLI_VERB_COUNT; i++) {
            (void)fprintf(c->out, "%s\n", CLI_VERBS[i].name);
        }
        return CLI_OK;
    }
    const struct cli_verb *verb = named_verb(c);
    if (verb == NULL) {
        return CLI_USAGE;
    }
    for (size_t i = 0; i < verb->option_count; i++) {
        (void)fprintf(c->out, "%s\n", verb->options[i].name);
    }
    for (size_t i = 0; i < cli_common_count(verb); i++) {
        (void)fprintf(c->out, "%s\n", CLI_COMMON[i].name);
    }
    return CLI_OK;
}

int cli_run_version(struct cli *c)
{
    if (c->json) {
        return cli_print_json(c, json_pack("{s:s}", "version", SHOAL_VERSION));
    }
    (void)fprintf(c->out, "shoal %s\n", SHOAL_VERSION);
    return CLI_OK;
}
