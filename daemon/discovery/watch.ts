/** Hears of nodes that appear in or vanish from `/dev`: inotify where there is a folder to watch, the caller's poll as a net. */
import { type FSWatcher, watch } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Those of them that exist are watched; `serial`, `usb` and `by-id` come and go with the first and last device. */
const FOLDERS = ['.', 'serial', 'serial/by-id', 'serial/by-path', 'usb', 'usb/by-id', 'input', 'input/by-id', 'input/by-path']

export interface NodeWatch {
  /** Watches what has come into being since. True when every folder that exists is watched. */
  arm(): Promise<boolean>
  close(): void
}

export function watchNodes(dev: string, changed: () => void): NodeWatch {
  const watchers = new Map<string, { inode: number; watcher: FSWatcher }>()
  let closed = false

  const drop = (path: string): void => {
    watchers.get(path)?.watcher.close()
    watchers.delete(path)
  }

  const armOne = async (path: string): Promise<boolean> => {
    const inode = await stat(path).then(
      (found) => (found.isDirectory() ? found.ino : undefined),
      () => undefined,
    )
    // A folder that was removed and made again is another one: the old watch hears nothing of it.
    if (watchers.get(path)?.inode !== inode) drop(path)
    if (inode === undefined || watchers.has(path) || closed) return true
    try {
      // `change` is a write to some node (every printed byte is one); only `rename` tells of coming and going.
      const watcher = watch(path, { persistent: false }, (kind) => {
        if (kind === 'rename') changed()
      })
      watcher.on('error', () => drop(path))
      watchers.set(path, { inode, watcher })
      return true
    } catch {
      // ENOSPC: the user's inotify watches are used up. Not worth an error: the poll goes faster instead.
      return false
    }
  }

  return {
    async arm() {
      const armed = await Promise.all(FOLDERS.map((folder) => armOne(join(dev, folder))))
      return armed.every(Boolean)
    },
    close() {
      closed = true
      for (const path of [...watchers.keys()]) drop(path)
    },
  }
}
