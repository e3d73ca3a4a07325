// SPDX-License-Identifier: Apache-2.0
// node build.mjs OUT: bundles the page and copies what Grafana's components fetch: icons, and the font.
import esbuild from 'esbuild';
import {cpSync} from 'node:fs';
import path from 'node:path';

const out = process.argv[2];
await esbuild.build({
  entryPoints: ['page.jsx'], outfile: path.join(out, 'page.js'), bundle: true, format: 'esm', jsx: 'automatic',
  platform: 'browser', mainFields: ['module', 'browser', 'main'], logLevel: 'warning',
  loader: {'.svg': 'text', '.png': 'dataurl', '.woff': 'empty', '.woff2': 'dataurl', '.ttf': 'dataurl'},
  define: {'process.env.NODE_ENV': '"production"', global: 'window'},
});
cpSync('node_modules/@grafana/ui/dist/public', path.join(out, 'public/build'), {recursive: true});
for (const [name, weight] of [['Regular', 400], ['Medium', 500]]) {
  cpSync(`node_modules/@fontsource/inter/files/inter-latin-${weight}-normal.woff2`, path.join(out, `public/fonts/inter/Inter-${name}.woff2`));
}
