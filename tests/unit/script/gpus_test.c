/* SPDX-License-Identifier: Apache-2.0 */
#include "script/devices.h"
#include "script/gpus.h"

#include "tst.h"

#include <stdio.h>
#include <string.h>

static char text[SCRIPT_GPU_TEXT_BYTES];

static const char *list(const struct script_gpu_set *set)
{
    script_gpus_text(set, text, sizeof text);
    return text;
}

static const char *names(const struct script_gpu_set *set, const char *visible)
{
    script_gpus_visible(set, visible, text, sizeof text);
    return text;
}

TEST(units_get_distinct_gpus_the_lowest_that_are_free)
{
    struct script_gpus gpus = {.count = 4};
    struct script_gpu_set a;
    struct script_gpu_set b;
    struct script_gpu_set c;
    EXPECT(script_gpus_take(&gpus, 1, &a));
    EXPECT(script_gpus_take(&gpus, 2, &b));
    EXPECT_STR(list(&a), "0");
    EXPECT_STR(list(&b), "1,2");
    EXPECT(!script_gpus_take(&gpus, 2, &c));
    EXPECT(!script_gpus_any(&c));
    script_gpus_give(&gpus, &a);
    EXPECT(!script_gpus_any(&a));
    EXPECT(script_gpus_take(&gpus, 2, &c));
    EXPECT_STR(list(&c), "0,3");
    EXPECT(!script_gpus_take(&gpus, 1, &a));
}

TEST(a_unit_that_wants_none_has_none)
{
    struct script_gpus gpus = {.count = 0};
    struct script_gpu_set a;
    EXPECT(script_gpus_take(&gpus, 0, &a));
    EXPECT_STR(list(&a), "");
    EXPECT(!script_gpus_take(&gpus, 1, &a));
}

TEST(an_agent_has_as_many_gpus_as_an_agent_can_have)
{
    struct script_gpus gpus = {.count = WIRE_GPUS_MAX};
    struct script_gpu_set a;
    EXPECT(script_gpus_take(&gpus, WIRE_GPUS_MAX, &a));
    EXPECT(strlen(list(&a)) > 4 && strcmp(text + strlen(text) - 4, ",254") == 0);
}

TEST(gpus_are_named_as_the_agent_was_told_to_see_them)
{
    struct script_gpus gpus = {.count = 3};
    struct script_gpu_set a;
    struct script_gpu_set b;
    EXPECT(script_gpus_take(&gpus, 1, &a));
    EXPECT(script_gpus_take(&gpus, 2, &b));
    EXPECT_STR(names(&a, "6,GPU-5f,2"), "6");
    EXPECT_STR(names(&b, "6,GPU-5f,2"), "GPU-5f,2");
    EXPECT_STR(names(&b, NULL), "1,2");
}

TEST(of_a_folder_only_device_files_of_the_driver_are_shown)
{
    static struct script_devices devices;
    char path[256];
    (void)snprintf(path, sizeof path, "%s/nvidia0", tst_dir());
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL && fclose(file) == 0);
    script_devices_find(&devices, tst_dir());
    EXPECT(devices.paths[0] == NULL); /* a plain file */
    script_devices_find(&devices, "/nothing/there");
    EXPECT(devices.paths[0] == NULL);
}
