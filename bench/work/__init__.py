"""What happens inside a worker: jobs are done, plugins are lent what they may use, and watched."""
