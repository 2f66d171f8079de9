// Builds the page into four files with fixed names, which the historian embeds. Nothing in them depends on where or when they were built.
import { defineConfig } from 'vite';

export default defineConfig({
  base: '/',
  build: {
    target: 'es2022',
    outDir: 'dist',
    emptyOutDir: true,
    sourcemap: false,
    assetsInlineLimit: 0,
    modulePreload: false,
    cssCodeSplit: false,
    rollupOptions: {
      output: {
        entryFileNames: 'app.js',
        chunkFileNames: 'app-[name].js',
        assetFileNames: 'app[extname]',
      },
    },
  },
  // Development against a running historian: npm run dev
  server: {
    host: '127.0.0.1',
    proxy: { '^/(api|readyz|metrics)': 'http://127.0.0.1:8080' },
  },
});
