import click
@click.command()
def masks() -> None:
    """x"""
