/* SPDX-License-Identifier: Apache-2.0
 *
 * Small files of an agent directory: read whole, or replaced whole and durable. Internal to trust.
 */
#ifndef TRUST_FILE_H
#define TRUST_FILE_H

#include "trust/trust.h"

#define TRUST_FILE_MAX 256u /* bytes of any file here, NUL included */

/* "PATH: what: strerror"; gives the sh_err of errno. */
enum sh_err trust_file_failed(char why[static TRUST_WHY_MAX], const char *path, const char *what);
SH_PRINTF(3, 4)
enum sh_err trust_file_say(char why[static TRUST_WHY_MAX], enum sh_err err, const char *format,
                           ...);

/* Text of the file, NUL-terminated. private_only: DENIED when group or others have any right. */
SH_MUST_USE enum sh_err trust_file_read(const char *path, bool private_only,
                                        char out[static TRUST_FILE_MAX], size_t *size,
                                        char why[static TRUST_WHY_MAX]);
/* Creates the file with mode 0600; EXISTS when there is one. Durable on OK, absent on failure. */
SH_MUST_USE enum sh_err trust_file_create(const char *path, struct sh_span text,
                                          char why[static TRUST_WHY_MAX]);
/* Replaces or creates the file (mode 0600) in one step. Durable on OK. */
SH_MUST_USE enum sh_err trust_file_replace(const char *path, struct sh_span text,
                                           char why[static TRUST_WHY_MAX]);

#endif
