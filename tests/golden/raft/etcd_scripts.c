/* SPDX-License-Identifier: Apache-2.0
 *
 * usage: etcd_scripts FOLDER... : runs quorum or confchange scripts (the folder's name tells which)
 * and prints "N/N directives". Exit status 0 only if every directive gave the expected bytes. */
#include "interaction.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void run_file(const char *folder, const char *path, struct dd_stats *stats)
{
    const char *slash = strrchr(folder, '/');
    const char *kind = slash != NULL ? slash + 1 : folder;
    struct confchange_env env;
    confchange_start(&env);
    bool read = false;
    if (strcmp(kind, "quorum") == 0) {
        read = dd_run(path, quorum_script, NULL, stats);
    } else if (strcmp(kind, "confchange") == 0) {
        read = dd_run(path, confchange_script, &env, stats);
    } else if (strcmp(kind, "interaction") == 0) {
        struct ia_env *cluster = ia_new();
        read = dd_run(path, ia_script, cluster, stats);
        ia_free(cluster);
    }
    if (!read) {
        (void)fprintf(stderr, "%s: cannot be run\n", path);
        exit(2);
    }
}

static int is_script(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return size > 4 && strcmp(entry->d_name + size - 4, ".txt") == 0;
}

int main(int argc, char **argv)
{
    struct dd_stats stats = {0};
    for (int i = 1; i < argc; i++) {
        struct dirent **entries = NULL;
        int count = scandir(argv[i], &entries, is_script, alphasort);
        if (count < 0) {
            perror(argv[i]);
            return 2;
        }
        for (int k = 0; k < count; k++) {
            char path[1024];
            (void)snprintf(path, sizeof path, "%s/%s", argv[i], entries[k]->d_name);
            run_file(argv[i], path, &stats);
            free(entries[k]);
        }
        free(entries);
    }
    (void)printf("%u/%u directives\n", stats.passed, stats.passed + stats.failed);
    return stats.failed == 0 && stats.passed > 0 ? 0 : 1;
}
