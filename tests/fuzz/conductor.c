/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a version.xml: refused with at least one error of one line, or a job file that is
 * YAML with as many commands as were read. */
#include "spec/conductor.h"

#include "spec/tree.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct spec_conductor conductor;
    struct spec_errors errors;
};

static void check_job(struct world *w, const char *text)
{
    struct spec_tree *tree = spec_tree_open(text, strlen(text), &w->errors);
    SH_CHECK(tree != NULL);
    const struct spec_node *root = &tree->nodes[SPEC_ROOT];
    const struct spec_node *run = spec_tree_member(tree, root, "run");
    const struct spec_node *name = spec_tree_member(tree, root, "name");
    SH_CHECK(run != NULL);
    SH_CHECK_CMP(run->count, ==, w->conductor.training_count);
    SH_CHECK(name != NULL);
    SH_CHECK_CMP(strlen(name->text), <=, SH_NAME_MAX);
    spec_tree_close(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = calloc(1, sizeof *w);
    SH_CHECK(w != NULL);
    if (spec_conductor_read((const char *)data, size, &w->conductor, &w->errors) != SH_OK) {
        SH_CHECK(w->errors.count > 0);
        char line[600];
        (void)spec_error_text(&w->errors.at[0], "f", line, sizeof line);
        SH_CHECK(strchr(line, '\n') == NULL);
        free(w);
        return 0;
    }
    char *text = NULL;
    if (spec_conductor_print(&w->conductor, "folder", &text, &w->errors) == SH_OK &&
        strlen(text) <= SH_SPEC_BYTES_MAX) {
        check_job(w, text);
    }
    free(text);
    free(w);
    return 0;
}
