"""scripts/check_rooms.py sees each kind of fault, and passes what is allowed."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import check_rooms  # noqa: E402


class CheckRooms(unittest.TestCase):
    def faults(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return list(check_rooms.faults(folder))

    def test_passes_a_house_in_order(self):
        self.assertEqual([], self.faults({
            "include/guerdon/base/error.h": "#include <string>\n",
            "include/guerdon/loss/dpo.h": '#include "guerdon/ops/tensor.h"\n',
            "src/loss/dpo.cpp": '#include <ATen/ATen.h>\n#include "guerdon/base/error.h"\n',
            "src/cli/score.cpp": '#include <CLI/CLI.hpp>\n#include "cli/output.h"\n',
            "kernels/cpu/segment.cpp": '#include "guerdon/base/error.h"\n#include <ATen/Parallel.h>\n',
            "kernels/cuda/segment.cu": "#include <cuda_runtime.h>\n",
        }))

    def test_sees_an_upward_include(self):
        self.assertEqual(
            ["src/model/a.cpp:2: model uses train, which lies below it"],
            self.faults({"src/model/a.cpp": '// a\n#include "guerdon/train/loop.h"\n'}))

    def test_sees_a_private_header_of_a_lower_room(self):
        self.assertEqual(1, len(self.faults({"src/data/a.cpp": '#include "report/plot.h"\n'})))

    def test_sees_libtorch_on_the_ground_floor(self):
        self.assertEqual(1, len(self.faults({"src/text/a.cpp": "#include <ATen/ATen.h>\n"})))

    def test_sees_a_library_outside_its_file(self):
        self.assertEqual(1, len(self.faults({"src/base/file.cpp": "#include <spdlog/spdlog.h>\n"})))
        self.assertEqual(1, len(self.faults({"include/guerdon/data/a.h": "#include <nlohmann/json.hpp>\n"})))
        self.assertEqual(1, len(self.faults({"src/train/a.cpp": "#include <torch/torch.h>\n"})))

    def test_sees_heavy_headers_in_public_ones(self):
        self.assertEqual(1, len(self.faults({"include/guerdon/loss/a.h": "#include <ATen/ATen.h>\n"})))

    def test_sees_aten_in_a_cuda_file(self):
        self.assertEqual(1, len(self.faults({"kernels/cuda/a.cu": "#include <ATen/ATen.h>\n"})))

    def test_sees_that_ops_stands_alone(self):
        self.assertEqual(1, len(self.faults({"src/ops/a.cpp": '#include "guerdon/base/file.h"\n'})))

    def test_sees_headers_in_a_circle(self):
        found = self.faults({
            "include/guerdon/data/a.h": '#include "guerdon/data/b.h"\n',
            "include/guerdon/data/b.h": '#include "guerdon/data/a.h"\n',
        })
        self.assertEqual(["guerdon/data/a.h:1: headers include each other: "
                          "guerdon/data/a.h -> guerdon/data/b.h -> guerdon/data/a.h"], found)

    def test_sees_an_umbrella_with_a_hole(self):
        files = {"include/guerdon/base/error.h": "\n", "include/guerdon/guerdon.h": "#pragma once\n"}
        self.assertEqual(1, len(self.faults(files)))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "include/guerdon/base/error.h"
            path.parent.mkdir(parents=True)
            path.write_text("\n")
            files["include/guerdon/guerdon.h"] = check_rooms.umbrella(folder)
        self.assertEqual([], self.faults(files))

    def test_sees_a_file_in_no_room(self):
        self.assertEqual(1, len(self.faults({"src/utils/a.cpp": "\n"})))


if __name__ == "__main__":
    unittest.main()
