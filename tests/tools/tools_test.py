#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checkers must catch what they are for, and let clean code pass."""
import argparse
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cuda_build  # noqa: E402
import docs  # noqa: E402
import includes  # noqa: E402
import pure  # noqa: E402
import run_tests  # noqa: E402
import tidy  # noqa: E402

SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"


class Tidy(unittest.TestCase):
    def rules(self, text, path="mesh/x/x.c"):
        return sorted({rule for _, rule, _ in tidy.judge(path, text)})

    def test_clean_code_passes(self):
        self.assertEqual(self.rules(SPDX + "int x_f(void)\n{\n    return 0;\n}\n"), [])

    def test_each_rule_fires(self):
        cases = {
            "licence": "int x;\n",
            "function": SPDX + "void f(void)\n{\n" + "    g();\n" * 70 + "}\n",
            "length": SPDX + "int x;\n" * 800,
            "width": SPDX + "int " + "x" * 100 + ";\n",
            "space": SPDX + "int x; \n",
            "tab": SPDX + "\tint x;\n",
            "banned": SPDX + "void f(void)\n{\n    sprintf(a, b);\n}\n",
            "typedef": SPDX + "typedef struct a a_t;\n",
            "mark": SPDX + "/* TODO later */\n",
            "word": SPDX + "/* a robust thing */\n",
            "ascii": SPDX + "/* \u00e9 */\n",
        }
        for rule, text in cases.items():
            self.assertIn(rule, self.rules(text), rule)
        self.assertIn("name", self.rules(SPDX, "mesh/x/utils.c"))

    def test_code_rules_ignore_comments_and_strings(self):
        self.assertEqual(self.rules(SPDX + '/* sprintf(x) */ const char *a = "sleep(1)";\n'), [])

    def test_a_waiver_suppresses_one_rule_and_expires(self):
        waived = SPDX + "/* tidy: allow banned the libc of the test double */\nvoid f(void) { sleep(1); }\n"
        self.assertEqual(self.rules(waived), [])
        self.assertEqual(self.rules(SPDX + "/* tidy: allow banned why */\nint x;\n"), ["waiver"])


class Includes(unittest.TestCase):
    def test_a_core_may_not_include_another(self):
        self.assertEqual(list(includes.judge("mesh/swim/swim.c", '#include "base/err.h"\n')), [])
        self.assertTrue(list(includes.judge("mesh/swim/swim.c", '#include "raft/raft.h"\n')))
        self.assertTrue(list(includes.judge("consensus/raft/a.c", '#include "base/host/host.h"\n')))

    def test_foreign_headers_have_one_home(self):
        self.assertTrue(list(includes.judge("agent/loop.c", "#include <zmq.h>\n")))
        self.assertTrue(list(includes.judge("agent/exec/process.c", '#include "jobs/jobs.h"\n')))
        self.assertEqual(list(includes.judge("agent/exec/process.c", '#include "exec/tree.h"\n')), [])
        self.assertEqual(list(includes.judge("mesh/link/link.c", "#include <zmq.h>\n")), [])


class Pure(unittest.TestCase):
    def build(self, folder, name, code, *flags):
        source = os.path.join(folder, name + ".c")
        with open(source, "w", encoding="utf-8") as out:
            out.write(code)
        subprocess.run(["gcc", "-O0", *flags, "-c", source, "-o", source + ".o"], check=True)
        archive = os.path.join(folder, f"lib{name}.a")
        subprocess.run(["ar", "rcs", archive, source + ".o"], check=True)
        return archive

    def test_clock_and_heap_are_caught_and_clean_code_is_not(self):
        with tempfile.TemporaryDirectory() as folder:
            good = self.build(folder, "good", "int good_f(int x) { return x + 1; }")
            bad = self.build(folder, "bad", "#include <stdlib.h>\n#include <time.h>\n"
                             "void *bad_f(void) { return malloc((size_t)time(0)); }")
            stray = self.build(folder, "stray", "int helper(void) { return 1; }")
            self.assertEqual(pure.audit([("good", True, good)]), [])
            self.assertEqual(len(pure.audit([("bad", True, bad)])), 2)
            self.assertEqual(pure.audit([("bad", False, bad)]), [])
            self.assertEqual(len(pure.audit([("stray", False, stray)])), 1)

    def test_what_a_sanitizer_adds_is_no_complaint(self):
        with tempfile.TemporaryDirectory() as folder:
            for flags in ("-fsanitize=address,undefined", "-fsanitize=thread"):
                built = self.build(folder, "good", "extern int good_one[];\nint good_one[4] = {1};\n"
                                   "int good_f(int i) { return good_one[i] << i; }", flags)
                self.assertEqual(pure.audit([("good", True, built)]), [])


class Docs(unittest.TestCase):
    TREE = {
        "README.md": "[x](docs/TESTING.md#bars)\n\n    sh tests/run.sh\n    shoal agent --new\n",
        "docs/TESTING.md": "# Bars\n| [a/b.sh](../tests/bars/a/b.sh) | holds |\n",
        "docs/LIMITS.md": "| `X_MAX` | 4,096 | rows | `mesh/x.h` | FULL |\n",
        "docs/INVARIANTS.md": "`mesh/x.c:x_check`\n",
        "tests/run.sh": "", "tests/bars/a/b.sh": "",
        "agent/cli/verbs.c": '    {"--new", 0, NULL, "x"},\n    {"agent", "", "runs"},\n',
        "agent/cli/parse.c": "",
        "mesh/x.h": "#define X_PAGE (1u << 10) /* rows */\n#define X_MAX (4 * X_PAGE)\n",
        "mesh/x.c": "void x_check(const struct x *x)\n{\n}\n",
    }

    def complaints(self, changes):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**self.TREE, **changes}.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as out:
                    out.write(text)
            return docs.judge(root)

    def test_true_pages_pass(self):
        self.assertEqual(self.complaints({}), [])

    def test_each_untruth_is_caught(self):
        for path, text, word in (
                ("README.md", "[x](docs/NOTHING.md)\n", "nowhere"),
                ("README.md", "[x](docs/TESTING.md#bar)\n", "no heading"),
                ("README.md", "    sh tests/walk.sh\n", "no tests/walk.sh"),
                ("README.md", "    shoal swim --new\n", "no verb swim"),
                ("README.md", "    shoal agent --old\n", "takes --old"),
                ("docs/TESTING.md", "# Bars\n", "lacks a/b.sh"),
                ("tests/bars/a/c.py", 'if __name__ == "__main__":\n', "lacks a/c.py"),
                ("docs/LIMITS.md", "| `X_MAX` | 4097 | rows | `mesh/x.h` | FULL |\n", "is 4096"),
                ("docs/LIMITS.md", "| `X_MIN` | 1 | rows | `mesh/x.h` | FULL |\n", "not define X_MIN"),
                ("docs/LIMITS.md", "none\n", "lists no limit"),
                ("docs/INVARIANTS.md", "`mesh/x.c:x_step`\n", "not define x_step"),
                ("docs/INVARIANTS.md", "`mesh/y.c:x_check`\n", "no mesh/y.c"),
                ("docs/ARCHITECTURE.md", "`x_jump` and `x_check`\n", "knows x_jump"),
                ("mesh/x.c", "void x_check(const struct x *x);\n", "not define x_check")):
            found = self.complaints({path: text})
            self.assertEqual(len(found), 1, (path, text, found))
            self.assertIn(word, found[0])

    def test_constant_expressions(self):
        for text, value in (("16u", 16), ("(4u << 20)", 4 << 20), ("UINT64_C(500000)", 500000),
                            ("((size_t)65536)", 65536), ("0x7fffffffu", 0x7fffffff),
                            ('"text"', None), ("sizeof(int)", None)):
            self.assertEqual(docs.number(text), value, text)


class CudaModule(unittest.TestCase):
    def ptx(self, **bodies):
        """Kernels of all fused cells, bodies replaced or added."""
        kernels = {cell: "fma.rn.f32 %f1, %f2, %f3, %f4;" for cell in cuda_build.FUSED}
        kernels.update(bodies)
        return "".join(f".entry _Z{len(name) + 5}{name}_gridm4args(\n{body}\n"
                       for name, body in kernels.items())

    def test_code_as_written_passes(self):
        clean = self.ptx(relu_at="mul.rn.f32 %f1, %f2, %f3; div.rn.f32 %f1, %f2, %f3;")
        self.assertEqual(list(cuda_build.judge_ptx(clean)), [])

    def test_what_changes_bits_is_named(self):
        for line in ("atom.global.add.f32 %f1, [%rd1], %f2;", "red.global.add.f32 [%rd1], %f2;",
                     "add.ftz.f32 %f1, %f2, %f3;", "div.approx.f32 %f1, %f2, %f3;",
                     "mul.f32 %f1, %f2, %f3;", "fma.rn.f32 %f1, %f2, %f3, %f4;",
                     "fma.rn.f64 %fd1, %fd2, %fd3, %fd4;"):
            self.assertEqual(len(list(cuda_build.judge_ptx(self.ptx(relu_at=line)))), 1, line)
        self.assertEqual(len(list(cuda_build.judge_ptx(self.ptx(conv_at="")))), 1)
        self.assertTrue(list(cuda_build.judge_ptx("")))

    def test_a_missing_architecture_is_named(self):
        code = ("--generate-code=arch=compute_80,code=[sm_80] "
                "--generate-code=arch=compute_90,code=[sm_90] ")
        last = "--generate-code=arch=compute_100,code=[compute_100,sm_100]"
        self.assertEqual(list(cuda_build.judge_code(code + last)), [])
        self.assertEqual(len(list(cuda_build.judge_code(code))), 1)

    def test_exports_and_needs_of_a_library_are_compared(self):
        self.assertEqual(list(cuda_build.judge_library(["kn_cuda_open"], ["libc.so.6"])), [])
        self.assertTrue(list(cuda_build.judge_library([], [])))
        self.assertTrue(list(cuda_build.judge_library(["kn_cuda_open", "kn_panic"], [])))
        self.assertTrue(list(cuda_build.judge_library(["kn_cuda_open"], ["libcuda.so.1"])))


class Runner(unittest.TestCase):
    def test_counts(self):
        self.assertEqual(run_tests.tally("tst", 0, "ok a\n3 passed, 0 failed, 1 skipped\n"), (3, 0, 1))
        self.assertEqual(run_tests.tally("tst", 1, "2 passed, 1 failed, 0 skipped\n"), (2, 1, 0))
        self.assertEqual(run_tests.tally("tst", -11, ""), (0, 1, 0))
        self.assertEqual(run_tests.tally("tst", 1, "2 passed, 0 failed, 0 skipped\n"), (2, 1, 0))
        self.assertEqual(run_tests.tally("check", 0, ""), (1, 0, 0))
        self.assertEqual(run_tests.tally("check", 77, ""), (0, 0, 1))
        self.assertEqual(run_tests.tally("check", 3, ""), (0, 1, 0))

    def test_a_sanitized_build_gives_its_fast_tests_and_no_checks(self):
        listed = {"dev": "fast tst a x\nslow tst b x\nfast fuzz c x\nfast check d x\nplain tst f x\n"}
        listed["asan"] = listed["dev"] + "fast sanitized e x\n"
        with tempfile.TemporaryDirectory() as folder:
            for build, rows in listed.items():
                os.mkdir(os.path.join(folder, build))
                with open(os.path.join(folder, build, "tests.list"), "w", encoding="utf-8") as out:
                    out.write(rows)
            args = argparse.Namespace(build=os.path.join(folder, "dev"), release="", filter="", slower=1,
                                      sanitized=os.path.join(folder, "asan"))
            todo = [(entry[2], where["SHOAL_BUILD"]) for entry, where in run_tests.plan(args)]
            self.assertEqual([name for name, _ in todo],
                             ["b", "d", "f", "asan:a", "asan:c", "asan:e"])
            self.assertEqual({where for name, where in todo if ":" in name}, {args.sanitized})


class Harness(unittest.TestCase):
    """tests/lib/tst.c must report a crash, a hang, a wrong death and a leak of expectations."""

    def test_bad_tests_are_reported(self):
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
        code = ('#include "tst.h"\n#include <stdlib.h>\n'
                "TEST(passes) { EXPECT(1 == 1); }\nTEST(fails) { EXPECT_EQ(1, 2); }\n"
                "TEST(crashes) { abort(); }\nTEST_LONG(hangs, 1) { for (;;) { } }\n"
                'TEST_DIES(lives, "x") { }\nTEST_DIES(wrong_words, "x") { abort(); }\n'
                'TEST(skips) { SKIP("no such thing here"); }\n')
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "t.c")
            with open(source, "w", encoding="utf-8") as out:
                out.write(code)
            program = os.path.join(folder, "t")
            lib = os.path.join(root, "tests", "lib")
            subprocess.run(["gcc", "-D_GNU_SOURCE", '-DTST_SOURCE_DIR="/"', "-I", lib, source,
                            os.path.join(lib, "tst.c"), "-o", program, "-lm"], check=True)
            done = subprocess.run([program], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stdout.endswith("1 passed, 5 failed, 1 skipped\n"), done.stdout)
        self.assertIn("skip skips # no such thing here", done.stdout)


if __name__ == "__main__":
    unittest.main()
