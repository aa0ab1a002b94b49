/* SPDX-License-Identifier: Apache-2.0
 *
 * Thompson's construction, and Pike's search: all ways through the steps advance together, a byte
 * at a time, at most one of them at each step. Targets of jumps are relative, so that a piece of
 * program can be moved and repeated as it is. */
#include "base/ere.h"

#include <string.h>

enum {
    BYTE,    /* arg */
    ANY,     /* but NUL */
    SET,     /* sets[arg] */
    SPLIT,   /* rather the next step than `to` */
    AGAIN,   /* rather `to` than the next step */
    JUMP,    /* to; 0: the end of its group, as long as that is open */
    OPEN,    /* of the first group */
    CLOSE,   /* likewise */
    FRONT,   /* ^ */
    BACK,    /* $ */
    BEGINS,  /* \<: a word */
    ENDS,    /* \> */
    EDGE,    /* \b: one of both */
    NO_EDGE, /* \B */
    FOUND
};

#define ENDLESS   UINT32_MAX
#define BOUND_MAX 9999u /* of what is read: far too much anyway, and no product overflows */

/* ---- compiling ---- */

struct group {
    uint32_t atom;   /* its first step, before OPEN */
    uint32_t start;  /* of what is in it */
    uint32_t branch; /* of the alternative that is being read */
    bool first;
};

struct maker {
    struct sh_ere *ere;
    const char *text;
    size_t size, at;
    struct group groups[SH_ERE_DEPTH_MAX + 1]; /* [0]: the whole pattern */
    uint32_t depth;
    uint32_t atom;   /* first step of what a repetition would repeat */
    bool repeatable; /* there is such a thing */
    enum sh_err err;
    const char *why;
};

static bool refuse(struct maker *m, enum sh_err err, const char *why)
{
    m->err = err;
    m->why = why;
    return false;
}

static bool room(struct maker *m, uint32_t more)
{
    return more <= SH_ERE_STEPS_MAX - m->ere->count ||
           refuse(m, SH_ERR_LIMIT,
                  "is too large: at most 512 characters, where x{m,n} counts n times");
}

static bool put(struct maker *m, uint8_t op, uint8_t arg, int32_t to)
{
    if (!room(m, 1)) {
        return false;
    }
    m->ere->steps[m->ere->count++] = (struct sh_ere_step){op, arg, (int16_t)to};
    return true;
}

static bool insert(struct maker *m, uint32_t at, uint8_t op, uint32_t to)
{
    struct sh_ere *ere = m->ere;
    if (!room(m, 1)) {
        return false;
    }
    memmove(ere->steps + at + 1, ere->steps + at, (ere->count - at) * sizeof ere->steps[0]);
    ere->steps[at] = (struct sh_ere_step){op, 0, (int16_t)to};
    ere->count++;
    return true;
}

static bool put_atom(struct maker *m, uint8_t op, uint8_t arg)
{
    m->atom = m->ere->count;
    m->repeatable = true;
    return put(m, op, arg, 0);
}

static bool put_anchor(struct maker *m, uint8_t op)
{
    m->repeatable = false;
    return put(m, op, 0, 0);
}

static void set_add(uint8_t *set, unsigned c)
{
    set[c / 8] |= (uint8_t)(1u << (c % 8));
}

static bool set_has(const uint8_t *set, uint8_t c)
{
    return (set[c / 8] >> (c % 8) & 1) != 0;
}

static bool put_set(struct maker *m, const uint8_t set[static 32])
{
    struct sh_ere *ere = m->ere;
    uint32_t i = 0;
    while (i < ere->set_count && memcmp(ere->sets[i], set, 32) != 0) {
        i++;
    }
    if (i == SH_ERE_SETS_MAX) {
        return refuse(m, SH_ERR_LIMIT, "has more than 64 different brackets");
    }
    memcpy(ere->sets[i], set, 32);
    ere->set_count += i == ere->set_count ? 1 : 0;
    return put_atom(m, SET, (uint8_t)i);
}

static bool is_word(unsigned c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

/* The classes of the C locale, each as pairs of a least and a greatest byte. */
static const struct {
    const char *name, *ranges;
} CLASSES[] = {
    {"alnum", "09AZaz"},   {"alpha", "AZaz"},   {"blank", "  \t\t"}, {"cntrl", "\1\37\177\177"},
    {"digit", "09"},       {"graph", "!~"},     {"lower", "az"},     {"print", " ~"},
    {"punct", "!/:@[`{~"}, {"space", "  \t\r"}, {"upper", "AZ"},     {"xdigit", "09AFaf"}};

static bool add_class(uint8_t *set, const char *name, size_t size)
{
    for (size_t i = 0; i < SH_COUNT(CLASSES); i++) {
        if (strlen(CLASSES[i].name) != size || memcmp(CLASSES[i].name, name, size) != 0) {
            continue;
        }
        for (const char *at = CLASSES[i].ranges; *at != '\0'; at += 2) {
            for (unsigned c = (unsigned char)at[0]; c <= (unsigned char)at[1]; c++) {
                set_add(set, c);
            }
        }
        return true;
    }
    return false;
}

static void invert(uint8_t *set)
{
    for (size_t i = 0; i < 32; i++) {
        set[i] = (uint8_t)~set[i];
    }
}

static bool unclosed(struct maker *m)
{
    return refuse(m, SH_ERR_INVALID, "has a [ without its ]; write \\[ for the character");
}

/* One byte of a bracket, [.x.] and [=x=] too; *single is false after a class. */
static bool take_element(struct maker *m, uint8_t *set, bool *single, uint8_t *out)
{
    const char *at = m->text + m->at;
    const size_t left = m->size - m->at;
    *single = left < 2 || at[0] != '[' || (at[1] != ':' && at[1] != '.' && at[1] != '=');
    if (*single) {
        *out = (uint8_t)at[0];
        m->at++;
        return true;
    }
    size_t n = 2;
    while (n + 1 < left && !(n > 2 && at[n] == at[1] && at[n + 1] == ']')) {
        n++;
    }
    if (n + 1 >= left) {
        return unclosed(m);
    }
    m->at += n + 2;
    if (at[1] == ':') {
        return add_class(set, at + 2, n - 2) ||
               refuse(m, SH_ERR_INVALID,
                      "has an unknown class, known are [:digit:] [:alpha:] "
                      "[:alnum:] [:space:] [:blank:] [:upper:] [:lower:] "
                      "[:punct:] [:xdigit:] [:print:] [:graph:] [:cntrl:]");
    }
    *single = true;
    *out = (uint8_t)at[2];
    return n == 3 ||
           refuse(m, SH_ERR_INVALID, "has [.name.] or [=name=], of single characters only");
}

/* Behind the '['. */
static bool take_bracket(struct maker *m)
{
    uint8_t set[32] = {0};
    const bool inverted = m->at < m->size && m->text[m->at] == '^';
    m->at += inverted ? 1 : 0;
    for (bool begun = false; m->at >= m->size || m->text[m->at] != ']' || !begun; begun = true) {
        uint8_t low = 0;
        bool single;
        if (m->at >= m->size) {
            return unclosed(m);
        }
        if (!take_element(m, set, &single, &low)) {
            return false;
        }
        uint8_t high = low;
        const bool range =
            m->at + 1 < m->size && m->text[m->at] == '-' && m->text[m->at + 1] != ']';
        if (range) {
            bool ends = false;
            m->at++;
            if (!take_element(m, set, &ends, &high)) {
                return false;
            }
            if (!single || !ends || low > high) {
                return refuse(
                    m, SH_ERR_INVALID,
                    "has a range such as [z-a]: the first must not be behind the last, and "
                    "'-' itself stands last, as in [a-z-]");
            }
        }
        for (unsigned c = low; single && c <= high; c++) {
            set_add(set, c);
        }
    }
    m->at++;
    if (inverted) {
        invert(set);
    }
    return put_set(m, set);
}

static bool take_escape(struct maker *m)
{
    if (m->at == m->size) {
        return refuse(m, SH_ERR_INVALID, "ends with a backslash; write \\\\ for the character");
    }
    const unsigned char c = (unsigned char)m->text[m->at++];
    uint8_t set[32] = {0};
    switch (c) {
    case '<':
        return put_anchor(m, BEGINS);
    case '>':
        return put_anchor(m, ENDS);
    case 'b':
        return put_anchor(m, EDGE);
    case 'B':
        return put_anchor(m, NO_EDGE);
    case 'w':
    case 'W':
        (void)add_class(set, "alnum", 5);
        set_add(set, '_');
        break;
    case 's':
    case 'S':
        (void)add_class(set, "space", 5);
        break;
    default:
        if (c >= '1' && c <= '9') {
            return refuse(m, SH_ERR_INVALID,
                          "has a back-reference, which is not possible: write out what it "
                          "stands for");
        }
        if (is_word(c) && c != '_') {
            return refuse(m, SH_ERR_INVALID,
                          "has a backslash before a letter that means nothing with "
                          "it; a digit is [0-9], a tab a tab");
        }
        return put_atom(m, BYTE, c);
    }
    if (c == 'W' || c == 'S') {
        invert(set);
    }
    return put_set(m, set);
}

static bool open_group(struct maker *m)
{
    if (m->depth == SH_ERE_DEPTH_MAX) {
        return refuse(m, SH_ERR_LIMIT, "has more than 64 groups in each other");
    }
    struct group *g = &m->groups[++m->depth];
    *g = (struct group){.atom = m->ere->count, .first = m->ere->groups++ == 0};
    m->repeatable = false;
    if (g->first && !put(m, OPEN, 0, 0)) {
        return false;
    }
    g->start = m->ere->count;
    g->branch = g->start;
    return true;
}

static void end_branches(struct maker *m, const struct group *g)
{
    struct sh_ere *ere = m->ere;
    for (uint32_t i = g->start; i < ere->count; i++) {
        if (ere->steps[i].op == JUMP && ere->steps[i].to == 0) {
            ere->steps[i].to = (int16_t)(ere->count - i);
        }
    }
}

static bool close_group(struct maker *m)
{
    if (m->depth == 0) { /* as everywhere: itself */
        return put_atom(m, BYTE, ')');
    }
    const struct group *g = &m->groups[m->depth--];
    end_branches(m, g);
    m->atom = g->atom;
    m->repeatable = true;
    return !g->first || put(m, CLOSE, 0, 0);
}

static bool begin_branch(struct maker *m)
{
    struct group *g = &m->groups[m->depth];
    m->repeatable = false;
    if (!insert(m, g->branch, SPLIT, m->ere->count + 2 - g->branch) || !put(m, JUMP, 0, 0)) {
        return false;
    }
    g->branch = m->ere->count;
    return true;
}

/* Another copy of the size steps at m->atom. */
static bool copy_atom(struct maker *m, uint32_t size)
{
    struct sh_ere *ere = m->ere;
    if (!room(m, size)) {
        return false;
    }
    memcpy(ere->steps + ere->count, ere->steps + m->atom, size * sizeof ere->steps[0]);
    ere->count += size;
    return true;
}

/* Copies that must be come first; each that may be can end it all. */
static bool repeat_bounded(struct maker *m, uint32_t size, uint32_t least, uint32_t most)
{
    if (most == 0) {
        m->ere->count = m->atom;
        return true;
    }
    bool good = true;
    for (uint32_t i = 1; i < most && good; i++) {
        good = (i < least || put(m, SPLIT, 0, (int32_t)((most - i) * (size + 1)))) &&
               copy_atom(m, size);
    }
    return good && (least > 0 || insert(m, m->atom, SPLIT, most * (size + 1)));
}

static bool repeat(struct maker *m, uint32_t least, uint32_t most)
{
    if (!m->repeatable) {
        return refuse(m, SH_ERR_INVALID,
                      "has a repetition of nothing; write \\*, \\+, \\? or \\{ for "
                      "the character");
    }
    const uint32_t size = m->ere->count - m->atom;
    if (size == 0) {
        return true;
    }
    const uint32_t copies = most == ENDLESS ? least : most;
    if (copies > 0 && !room(m, (copies - 1) * size)) { /* before anything is written out */
        return false;
    }
    if (most != ENDLESS) {
        return repeat_bounded(m, size, least, most);
    }
    for (uint32_t i = 1; i < least; i++) {
        if (!copy_atom(m, size)) {
            return false;
        }
    }
    return least > 0 ? put(m, AGAIN, 0, -(int32_t)size)
                     : insert(m, m->atom, SPLIT, size + 2) && put(m, JUMP, 0, -(int32_t)size - 1);
}

static bool take_number(struct maker *m, uint32_t *out)
{
    const size_t begin = m->at;
    *out = 0;
    for (; m->at < m->size && m->text[m->at] >= '0' && m->text[m->at] <= '9'; m->at++) {
        const uint32_t more = *out * 10 + (uint32_t)(m->text[m->at] - '0');
        *out = more < BOUND_MAX ? more : BOUND_MAX;
    }
    return m->at > begin;
}

/* Behind the '{'. */
static bool take_bounds(struct maker *m)
{
    uint32_t least;
    uint32_t most = 0;
    const bool low = take_number(m, &least);
    const bool comma = m->at < m->size && m->text[m->at] == ',';
    m->at += comma ? 1 : 0;
    const bool high = comma && take_number(m, &most);
    const bool closed = m->at < m->size && m->text[m->at] == '}';
    m->at++;
    if (!high) {
        most = comma ? ENDLESS : least;
    }
    if (!closed || !(low || high) || least > most) {
        return refuse(m, SH_ERR_INVALID,
                      "has a { that begins no bounds such as {3}, {2,} or {2,5}; "
                      "write \\{ for the character");
    }
    return repeat(m, least, most);
}

static bool take_piece(struct maker *m)
{
    const char c = m->text[m->at++];
    switch (c) {
    case '\\':
        return take_escape(m);
    case '[':
        return take_bracket(m);
    case '(':
        return open_group(m);
    case ')':
        return close_group(m);
    case '|':
        return begin_branch(m);
    case '*':
        return repeat(m, 0, ENDLESS);
    case '+':
        return repeat(m, 1, ENDLESS);
    case '?':
        return repeat(m, 0, 1);
    case '{':
        return take_bounds(m);
    case '^':
        return put_anchor(m, FRONT);
    case '$':
        return put_anchor(m, BACK);
    case '.':
        return put_atom(m, ANY, 0);
    default:
        return put_atom(m, BYTE, (uint8_t)c);
    }
}

enum sh_err sh_ere_compile(struct sh_ere *ere, const char *text, size_t size, const char **why)
{
    struct maker m = {.ere = ere, .text = text, .size = size};
    ere->count = 0;
    ere->groups = 0;
    ere->set_count = 0;
    bool good = true;
    while (m.at < size && good) {
        good = take_piece(&m);
    }
    if (good && m.depth > 0) {
        good = refuse(&m, SH_ERR_INVALID, "has a ( without its ); write \\( for the character");
    }
    if (good) {
        end_branches(&m, &m.groups[0]);
        good = put(&m, FOUND, 0, 0);
    }
    *why = m.why;
    return m.err;
}

/* ---- searching ---- */

struct way {
    uint32_t step;
    uint32_t begin, open, close; /* offsets; NOWHERE: not yet */
};

#define NOWHERE UINT32_MAX

struct ways { /* in the order of preference: earlier begin first */
    struct way at[SH_ERE_STEPS_MAX];
    uint32_t count;
};

struct search {
    const struct sh_ere *ere;
    const uint8_t *text;
    uint32_t size;
    uint32_t seen[SH_ERE_STEPS_MAX]; /* position + 1 of the last visit */
    bool found;
    struct way best; /* step: its end */
};

static bool holds(const struct search *s, uint8_t op, uint32_t at)
{
    const bool before = at > 0 && is_word(s->text[at - 1]);
    const bool behind = at < s->size && is_word(s->text[at]);
    switch (op) {
    case FRONT:
        return at == 0;
    case BACK:
        return at == s->size;
    case BEGINS:
        return !before && behind;
    case ENDS:
        return before && !behind;
    default:
        return (before != behind) == (op == EDGE);
    }
}

static void arrive(struct search *s, struct way way, uint32_t at)
{
    const bool better =
        !s->found || way.begin < s->best.begin || (way.begin == s->best.begin && at > s->best.step);
    if (better) {
        s->found = true;
        s->best = way;
        s->best.step = at;
    }
}

/* Adds all steps that wait for the byte at `at` and can be reached from way without one. */
static void follow(struct search *s, struct ways *ways, struct way way, uint32_t at)
{
    struct way stack[SH_ERE_STEPS_MAX]; /* one a SPLIT or AGAIN, which are visited once */
    uint32_t depth = 0;
    stack[depth++] = way;
    while (depth > 0) {
        way = stack[--depth];
        while (s->seen[way.step] != at + 1) {
            const struct sh_ere_step step = s->ere->steps[way.step];
            s->seen[way.step] = at + 1;
            struct way other = way;
            other.step = (uint32_t)((int32_t)way.step + step.to);
            if (step.op <= SET) {
                ways->at[ways->count++] = way;
                break;
            }
            if (step.op == FOUND) {
                arrive(s, way, at);
                break;
            }
            way.step++;
            if (step.op == SPLIT || step.op == AGAIN) {
                stack[depth++] = step.op == SPLIT ? other : way;
                way = step.op == SPLIT ? way : other;
            } else if (step.op == JUMP) {
                way = other;
            } else if (step.op == OPEN) {
                way.open = at;
            } else if (step.op == CLOSE) {
                way.close = at;
            } else if (!holds(s, step.op, at)) {
                break;
            }
        }
    }
}

static bool takes(const struct sh_ere *ere, uint32_t step, uint8_t c)
{
    switch (ere->steps[step].op) {
    case BYTE:
        return ere->steps[step].arg == c;
    case ANY:
        return c != 0;
    default:
        return set_has(ere->sets[ere->steps[step].arg], c);
    }
}

bool sh_ere_search(const struct sh_ere *ere, const char *text, size_t size,
                   struct sh_ere_found *found)
{
    struct search s = {.ere = ere, .text = (const uint8_t *)text, .size = (uint32_t)size};
    struct ways ways[2];
    ways[0].count = 0;
    SH_CHECK_CMP(size, <, NOWHERE - 1);
    for (uint32_t at = 0; at <= s.size; at++) {
        struct ways *now = &ways[at % 2];
        struct ways *next = &ways[1 - at % 2];
        if (!s.found) {
            follow(&s, now, (struct way){0, at, NOWHERE, NOWHERE}, at);
        }
        next->count = 0;
        for (uint32_t i = 0; i < now->count && at < s.size; i++) {
            struct way way = now->at[i];
            if ((!s.found || way.begin <= s.best.begin) && takes(ere, way.step, s.text[at])) {
                way.step++;
                follow(&s, next, way, at + 1);
            }
        }
        if (s.found && next->count == 0) {
            break;
        }
    }
    if (s.found) {
        const bool grouped = s.best.close != NOWHERE;
        *found = (struct sh_ere_found){.begin = s.best.begin,
                                       .end = s.best.step,
                                       .grouped = grouped,
                                       .group_begin = grouped ? s.best.open : 0,
                                       .group_end = grouped ? s.best.close : 0};
    }
    return s.found;
}
