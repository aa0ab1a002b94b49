/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a fuzz harness over every file of a corpus folder, where libFuzzer is not linked in. Prints
 * the tally line that the test runner reads. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    static uint8_t bytes[1 << 20];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    uint8_t *exact = malloc(size > 0 ? size : 1); /* exact size: a sanitizer sees reads past it */
    if (exact == NULL) {
        exit(1);
    }
    memcpy(exact, bytes, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 1;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (dir == NULL) {
            perror(argv[i]);
            return 1;
        }
        for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
            char path[4096];
            if (e->d_name[0] != '.') {
                (void)snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
                count += replay(path);
            }
        }
        (void)closedir(dir);
    }
    (void)printf("%u passed, 0 failed, 0 skipped\n", count);
    return count > 0 ? 0 : 1;
}
