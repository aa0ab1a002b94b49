/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: every entry of a directory into a bundle, and their bytes. A chooser says
 * what is taken; what it leaves out is neither opened nor judged. */
#ifndef SPEC_WALK_H
#define SPEC_WALK_H

#include "spec/bundle.h"

#include "spec/beneath.h"

enum spec_choice_of {             /* of an entry */
                      SPEC_LEAVE, /* not taken; a folder is not entered */
                      SPEC_ENTER, /* a folder to look into; anything else is left */
                      SPEC_TAKE /* taken; a folder with all below it that the chooser does not leave
                                 */
};

/* inside: a folder above was taken. */
typedef enum spec_choice_of (*spec_walk_choose)(void *context, const char *path, bool folder,
                                                bool inside);

struct spec_walk {
    struct spec_bundle *bundle;
    spec_walk_choose choose;
    void *context;
    bool folders;                /* taken folders are entries, where empty */
    bool changed;                /* an error came of a tree that changed since its walk */
    struct spec_beneath beneath; /* for spec_walk_fill */
};

/* Takes root, an open folder, until spec_walk_end. */
void spec_walk_start(struct spec_walk *walk, int root);
void spec_walk_end(struct spec_walk *walk);
/* Adds what is chosen; what vanishes meanwhile was not there. Tells why. INVALID, LIMIT, IO,
 * NO_MEMORY. */
SH_MUST_USE enum sh_err spec_walk_all(struct spec_walk *walk);
/* A spec_bundle_fill with the walk as its context. IO with changed set: the entry is not what the
 * walk saw, by size or time of change, before or after its bytes were read. So what is read without
 * an error stood there together when the walk had ended. */
enum sh_err spec_walk_fill(void *context, const char *path, const struct spec_item *item,
                           uint8_t *out);

#endif
