/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/cli: the paths that a job file names. */
#ifndef CLI_UPLOAD_H
#define CLI_UPLOAD_H

#include "cli/context.h"

/* Reads the job file named by the verb's first argument ("-": standard input). Returns CLI_OK or
 * the exit status, printed. */
int cli_read_job(struct cli *c, struct spec_job *job);

/* Opens every data set that the job names by a path (relative to the job file's folder) and checks
 * it against the model: shapes, classes, columns, numbers. *samples is the size of the training
 * set, 0 when it is not here. */
int cli_check_data(struct cli *c, const struct spec_job *job, uint32_t *samples);

/* Packs the package that an exec job names by a path, and forgets it: what would be refused is
 * said.
 */
int cli_check_package(struct cli *c, const struct spec_job *job);

/* Uploads both as file sets and puts their digests in the place of the paths. */
int cli_upload_data(struct cli *c, struct spec_job *job);

/* POST /jobs under the key and for the owner of the command line; the row that it answers, NULL
 * with the error printed and *status set. */
json_t *cli_send_job(struct cli *c, const struct spec_job *job, int *status);

#endif
