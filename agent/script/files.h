/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/script: what comes to a working folder beside the package. */
#ifndef SCRIPT_FILES_H
#define SCRIPT_FILES_H

#include "script/inside.h"

/* A blob as the file `below` the working folder, in the place of what is there; path is absolute.
 */
SH_MUST_USE enum sh_err script_files_put(struct script_unit *x,
                                         const uint8_t digest[static SH_DIGEST_BYTES],
                                         const char *below, char path[static TRAIN_PATH_MAX],
                                         char why[static SCRIPT_WHY_BYTES]);
/* A file set in .shoal/input; path is that of its root. */
SH_MUST_USE enum sh_err script_files_unpack(struct script_unit *x,
                                            const uint8_t digest[static SH_DIGEST_BYTES],
                                            char path[static TRAIN_PATH_MAX],
                                            char why[static SCRIPT_WHY_BYTES]);

#endif
