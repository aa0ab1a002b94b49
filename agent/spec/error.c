/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "spec/tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Copies text as one printable line; what does not fit ends in "...". */
static void copy_line(char *out, size_t size, const char *text)
{
    size_t used = 0;
    while (text[used] != '\0' && used < size - 1) {
        unsigned char c = (unsigned char)text[used];
        out[used] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
        used++;
    }
    if (text[used] != '\0') {
        used = sh_text_fit(out, size - 4);
        memcpy(out + used, "...", 3);
        used += 3;
    }
    out[used] = '\0';
}

void spec_note(struct spec_errors *errors, struct spec_place at, const char *field,
               const char *value, const char *format, ...)
{
    if (errors->count == SPEC_ERRORS_MAX) {
        return;
    }
    size_t i = errors->count; /* kept in the order of the text */
    while (i > 0 && (errors->at[i - 1].line > at.line ||
                     (errors->at[i - 1].line == at.line && errors->at[i - 1].column > at.column))) {
        errors->at[i] = errors->at[i - 1];
        i--;
    }
    struct spec_error *e = &errors->at[i];
    *e = (struct spec_error){.line = at.line, .column = at.column};
    copy_line(e->field, sizeof e->field, field);
    copy_line(e->value, sizeof e->value, value != NULL ? value : "");
    char message[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    copy_line(e->message, sizeof e->message, message);
    errors->count++;
}

size_t spec_error_text(const struct spec_error *error, const char *file, char *out, size_t size)
{
    char place[32] = "";
    if (error->line > 0) {
        (void)snprintf(place, sizeof place, ":%u:%u", error->line, error->column);
    }
    int n = snprintf(out, size, "%s%s: %s%s%s%s%s", file, place, error->field,
                     error->field[0] != '\0' ? ": " : "", error->value,
                     error->value[0] != '\0' ? ": " : "", error->message);
    SH_CHECK(n >= 0);
    return (size_t)n < size ? (size_t)n : size - 1;
}
