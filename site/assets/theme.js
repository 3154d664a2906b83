// Runs before the page is drawn: the theme that the reader chose.
{
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
}
