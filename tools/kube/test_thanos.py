"""Flags of Thanos in the rendered manifests, against the help texts of its own version, which its module has in docs/components."""

import json
import pathlib
import re
import subprocess
import unittest

import cell  # noqa: F401 - puts tools/chart on the path
import chart

# Which page has the help of which subcommand.
PAGES = {"query": "query", "query-frontend": "query-frontend", "store": "store", "compact": "compact", "tools bucket replicate": "tools"}


class Flags(unittest.TestCase):
    def test_every_flag_is_known_to_the_version_of_the_image(self):
        values = chart.default_values()["storage"]["thanos"]
        self.assertEqual(values["image"]["tag"], values["version"])
        module = subprocess.run(["go", "mod", "download", "-json", f"github.com/thanos-io/thanos@{values['version']}"], capture_output=True, text=True, check=True)
        pages = pathlib.Path(json.loads(module.stdout)["Dir"]) / "docs/components"
        checked = set()
        for o, pod in chart.pod_specs(chart.objects("medium", "storage-multi-dc")):
            for arguments in (c["args"] for c in pod["spec"]["containers"] if c["name"] == "thanos"):
                command = " ".join(a for a in arguments if not a.startswith("--"))
                text = (pages / f"{PAGES[command]}.md").read_text()
                help_text = re.search(rf"usage: thanos {command} \[<flags>\].*?```", text, re.S)[0]
                for flag in (a.split("=")[0] for a in arguments if a.startswith("--")):
                    with self.subTest(of=o["metadata"]["name"], flag=flag):
                        self.assertTrue(re.search(rf"--(\[no-\])?{re.escape(flag[2:])}[=\s]", help_text), "not in the help")
                checked.add(command)
        self.assertEqual(checked, set(PAGES))


if __name__ == "__main__":
    unittest.main()
