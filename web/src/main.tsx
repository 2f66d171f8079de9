// Where the page begins.
import 'uplot/dist/uPlot.min.css';
import './app/app.css';
import { render } from 'preact';
import { startHeartbeat } from './api/request';
import { startProbe } from './app/probe';
import { startRouting } from './app/route';
import { Shell } from './app/shell';
import { startTheme } from './app/theme';
import { startWho } from './app/who';

startTheme();
startProbe();
startRouting();
startHeartbeat();
startWho();
const host = document.getElementById('app');
if (host) render(<Shell />, host);
