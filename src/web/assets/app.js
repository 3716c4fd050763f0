// The page works without this file. With it, what is marked data-live follows the daemon.
'use strict';
(() => {
  const light = document.getElementById('live');
  const say = (text) => { if (light) light.textContent = text; };
  const isBusy = () => document.hidden || (document.activeElement && document.activeElement.closest('form'));
  let waiting = false;

  const refresh = async () => {
    if (waiting || isBusy()) return;
    waiting = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: 'text/html' }, cache: 'no-store' });
      if (!answer.ok) return;
      const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
      document.title = next.title;
      for (const part of document.querySelectorAll('[data-live]')) {
        const fresh = next.getElementById(part.id);
        if (!fresh || fresh.innerHTML === part.innerHTML) continue;
        const open = [...part.querySelectorAll('details')].map((details) => details.open);
        part.replaceChildren(...fresh.childNodes);
        part.querySelectorAll('details').forEach((details, n) => { if (n in open) details.open = open[n]; });
      }
    } finally {
      waiting = false;
    }
  };

  if (!document.querySelector('[data-live]')) return;
  const source = new EventSource('/api/v1/live');
  source.addEventListener('open', () => say('live'));
  source.addEventListener('error', () => say('not connected, trying again'));
  source.addEventListener('changed', refresh);
  document.addEventListener('visibilitychange', refresh);
})();
