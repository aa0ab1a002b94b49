/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to scenario.c and verbs.c: one line of a scenario after the other. */
#ifndef SIM_PARSER_H
#define SIM_PARSER_H

#include "sim/scenario.h"

#define SIM_WORDS_MAX 64 /* of a line */

struct sim_parser {
    struct sim_scenario *scenario;
    unsigned line;
    uint32_t agents; /* that exist at this line */
    bool started;    /* a line before took place at a time */
    uint64_t at_us;
    char *words[SIM_WORDS_MAX];
    uint32_t count;
    uint32_t next;
    char *error;
    bool bad;
};

struct sim_verb_form {
    const char *name;
    const char *form;
    void (*parse)(struct sim_parser *p, struct sim_command *c);
};

extern const struct sim_verb_form SIM_VERBS[SIM_VERB_COUNT];

/* Only the first complaint is kept. */
void sim_parser_complain(struct sim_parser *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool sim_parser_more(const struct sim_parser *p);
const char *sim_parser_peek(const struct sim_parser *p); /* "" at the end */
const char *sim_parser_word(struct sim_parser *p);       /* takes it */
bool sim_parser_take(struct sim_parser *p, const char *word);
void sim_parser_want(struct sim_parser *p, const char *text);
uint64_t sim_parser_duration(struct sim_parser *p);
uint32_t sim_parser_percent(struct sim_parser *p); /* in parts of a million */
uint64_t sim_parser_number(struct sim_parser *p, uint64_t low, uint64_t high, const char *what);
/* A letter, or with words one of those that are resolved at run time. */
bool sim_parser_agent(struct sim_parser *p, const char *text, bool words, uint32_t *out);

#endif
