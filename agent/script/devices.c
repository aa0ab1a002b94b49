/* SPDX-License-Identifier: Apache-2.0 */
#include "script/devices.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void script_devices_find(struct script_devices *out, const char *dir)
{
    size_t count = 0;
    DIR *list = opendir(dir);
    const struct dirent *entry;
    while (list != NULL && count < SCRIPT_DEVICES_MAX && (entry = readdir(list)) != NULL) {
        struct stat about;
        char *path = out->text[count];
        if (strncmp(entry->d_name, "nvidia", 6) != 0) {
            continue;
        }
        int n = snprintf(path, SCRIPT_DEVICE_BYTES, "%s/%.*s", dir, (int)SCRIPT_DEVICE_BYTES,
                         entry->d_name);
        if (n < (int)SCRIPT_DEVICE_BYTES && stat(path, &about) == 0 && S_ISCHR(about.st_mode)) {
            out->paths[count++] = path;
        }
    }
    out->paths[count] = NULL;
    if (list != NULL) {
        (void)closedir(list);
    }
}
