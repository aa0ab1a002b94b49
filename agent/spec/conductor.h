/* SPDX-License-Identifier: Apache-2.0
 *
 * Conductor's version.xml (what .NET's XmlSerializer wrote for it) as a job file. Known elements:
 *
 *   Version { Created, LastUpdated, Name, DatasetType (Generic or Cargo2000), Status or
 *             VersionStatus, TrainingCommands { VersionCommand* }, PredictionCommands
 *             { VersionCommand* }, TargetModels }
 *   VersionCommand or Command { FileName, Arguments, Parameters }
 *
 * in any order. Anything else is an error, as in a job file, since it would be lost silently; only
 * what is inside the status is skipped. Document types are refused, so nothing is expanded.
 *
 * No call keeps state; all are safe from any thread. */
#ifndef SPEC_CONDUCTOR_H
#define SPEC_CONDUCTOR_H

#include "spec/spec.h"

#define SPEC_CONDUCTOR_COMMANDS_MAX 8u    /* of one list */
#define SPEC_CONDUCTOR_TEXT_MAX     4095u /* bytes of one element */

enum spec_conductor_dataset { SPEC_CONDUCTOR_GENERIC = 1, SPEC_CONDUCTOR_CARGO2000 };

struct spec_conductor_command {
    char file[SPEC_CONDUCTOR_TEXT_MAX + 1];
    char arguments[SPEC_CONDUCTOR_TEXT_MAX + 1]; /* one text; see spec_conductor_words */
    char
        parameters[SPEC_CONDUCTOR_TEXT_MAX + 1]; /* a label that Conductor shows, never passed on */
};

struct spec_conductor {                     /* some 200 KiB: keep it off small stacks */
    char name[SPEC_CONDUCTOR_TEXT_MAX + 1]; /* empty: none; Conductor takes the folder's name */
    enum spec_conductor_dataset dataset;    /* Generic where it is not said */
    uint32_t target_models;                 /* 1 to SPEC_UNITS_MAX */
    uint32_t training_count;                /* at least 1 */
    uint32_t prediction_count;
    struct spec_conductor_command training[SPEC_CONDUCTOR_COMMANDS_MAX];
    struct spec_conductor_command prediction[SPEC_CONDUCTOR_COMMANDS_MAX];
};

/* OK, or INVALID with all errors, each with line, column, element ("Version.TargetModels"), value
 * and what would be right. LIMIT: larger than SH_SPEC_BYTES_MAX. NO_MEMORY. */
SH_MUST_USE enum sh_err spec_conductor_read(const char *text, size_t size,
                                            struct spec_conductor *conductor,
                                            struct spec_errors *errors);

/* A job file of kind exec in YAML, NUL-terminated; given (free). Each command becomes a list of
 * words; what Conductor itself did round the scripts (84 hours, the lines that abort a run and
 * those that are metrics) stands in it to be seen and changed. folder: the name of the directory
 * that the scripts are in, which wins over Name as it does there; NULL or empty: Name. Characters
 * that no name of a job has become '-'. INVALID: no name at all, errors says so. NO_MEMORY. */
SH_MUST_USE enum sh_err spec_conductor_print(const struct spec_conductor *conductor,
                                             const char *folder, char **text,
                                             struct spec_errors *errors);

/* The words that .NET on Unix gives a process for Arguments: blanks separate outside of "...", ""
 * in quotes is a quote, backslashes count before a quote only. Line breaks separate, too. Writes
 * each with its NUL, which takes no more than strlen(arguments) + 1 bytes; returns how many. */
size_t spec_conductor_words(const char *arguments, char *out, size_t size);

#endif
