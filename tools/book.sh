#!/usr/bin/env bash
# Builds the documentation as a site: tools/book.sh MDBOOK FOLDER, where MDBOOK is the program and FOLDER gets book/ (the sources as
# mdBook sees them) and site/. Then checks every link and anchor of the site.
set -euo pipefail
mdbook=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
cd "$(dirname "$0")/.."

rm -rf "$folder/book" "$folder/site"
mkdir -p "$folder/book"
# The pages, and the files that they link to; at the same places as in the repository.
cp --parents -r ./*.md LICENSE Dockerfile helios.example.yaml docs deploy collectors alerts runbooks/samples chart/helios/README.md \
    tools/bench/consumer.py "$folder/book"
# mdBook would make an index.html of it, which links to README.md do not find.
mv "$folder/book/chart/helios/README.md" "$folder/book/chart/helios/values.md"
mv "$folder/book/docs/book.toml" "$folder/book/book.toml"
# SUMMARY.md is read from docs/ in the repository, and from the root of the sources by mdBook.
sed -e 's#](\.\./#](#; t' -e 's#](#](docs/#' docs/SUMMARY.md >"$folder/book/SUMMARY.md"
grep -rl 'chart/helios/README\.md' "$folder/book" --include='*.md' | xargs -r sed -i 's#chart/helios/README\.md#chart/helios/values.md#g'
rm "$folder/book/docs/SUMMARY.md"
"$mdbook" build "$folder/book"
python3 tools/check-links.py "$folder/site"
